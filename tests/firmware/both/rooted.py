"""Files of a chip that is mounted below a folder, as the queue takes them."""

import os


class Rooted:
    """Puts `root` before every path."""

    def __init__(self, root):
        self.root = root

    def open(self, path, mode="r"):
        return open(self.root + path, mode)

    def remove(self, path):
        os.remove(self.root + path)

    def rename(self, old, new):
        os.rename(self.root + old, self.root + new)

    def listdir(self, path):
        return os.listdir(self.root + path)

    def mkdir(self, path):
        os.mkdir(self.root + path)

    def stat(self, path):
        return os.stat(self.root + path)
