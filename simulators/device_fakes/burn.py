"""Fills the flash image of a node from its folder `flash`, or the other way round. Environment: RESIK_NODE, RESIK_BURN."""

import os

import flash
import vfs

node = os.getenv("RESIK_NODE")
image = node + "/flash.img"
if os.getenv("RESIK_BURN") == "make":
    flash.blank(image)
    device = flash.Image(image)
    vfs.VfsLfs2.mkfs(device)
else:
    device = flash.Image(image)
vfs.mount(vfs.VfsLfs2(device), "/chip")
if os.getenv("RESIK_BURN") == "make":
    flash.copy(node + "/flash", "/chip")
else:
    flash.copy("/chip", node + "/flash")
vfs.umount("/chip")
print("@END")
