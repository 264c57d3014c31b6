"""What the flash remembers of updates: names of the NVS integers, and what every wake needs of them.

slot   application slot that runs: 0 = a, 1 = b                trial  1 while it waits for its first application ack
tries  starts of the version on trial                          fails  crashes in a row that ended in the loader
ver    version that runs, put there by the loader              floor  highest version that was confirmed
bad    version that was rolled back                            want   version being downloaded, 0 = none
wtype  its type, an index of wire.UPDATE_TYPES                 wsize  size of its bundle
ota    outcome of the last offer, an index of OUTCOMES         otaver its version
otamv  battery voltage that it asked for                       img    firmware image on trial, 0 = none
imgto  partition it was written to: 0 or 1                     imgok  highest image that was confirmed
imgbad image that was rolled back                              imgat  its blocks that are written, now and then
otamis wakes in a row that asked for a part in vain          otawrong 1 once a file that came down was wrong
"""

PIECE_BYTES = 512
"""Bytes of an application asked for at once: what carries them takes five times that of a heap in pieces."""

IMAGE_HEAD = "/image.head"

OUTCOMES = (
    "idle",
    "confirmed",
    "rolled-back",
    "refused-signature",
    "refused-manifest",
    "refused-class",
    "refused-version",
    "refused-mpy",
    "refused-battery",
    "refused-size",
    "refused-truncated",
    "refused-space",
    "refused-hash",
)
CONFIRMED = 1
ROLLED_BACK = 2
BATTERY = 8


def mpy_text(number):
    """Bytecode version as a manifest names it, from sys.implementation._mpy."""
    return "%d.%d" % (number & 0xFF, number >> 8 & 3)


def put(nvs, *pairs):
    """Set the (name, value) pairs that differ, in this order, and commit: the order is what a power cut leaves."""
    changed = False
    for key, value in pairs:
        if nvs.get(key, 0) != value:
            nvs.set(key, value)
            changed = True
    if changed:
        nvs.commit()


def under_way(nvs):
    """Whether a download waits to go on."""
    return bool(nvs.get("want", 0)) and not nvs.get("trial", 0) and not nvs.get("img", 0)


def report(nvs):
    """Return what the status message says of updates."""
    for state, on, version in (("trial", "trial", "ver"), ("trial", "img", "img"), ("loading", "want", "want")):
        if nvs.get(on, 0):
            return {"ota": state, "ota_ver": nvs.get(version, 0)}
    outcome = nvs.get("ota", 0)
    return {"ota": OUTCOMES[outcome] if 0 <= outcome < len(OUTCOMES) else "idle", "ota_ver": nvs.get("otaver", 0)}


def confirm(nvs, partition):
    """Keep the version that runs: an application ack came to it. Costs nothing when it is kept already.

    `partition` is a callable that makes the HAL's adapter; it is called while a firmware image is on trial only.
    """
    if nvs.get("trial", 0):
        version = nvs.get("ver", 0)
        floor = max(version, nvs.get("floor", 0))
        # a power cut at the switch may have left `want`; the flag goes last, so that a cut here repeats all of it
        put(nvs, ("want", 0), ("otaver", version), ("ota", CONFIRMED), ("floor", floor), ("tries", 0), ("trial", 0))
    image = nvs.get("img", 0)
    if not image:
        return
    idle = partition()
    if int(idle.label[-1]) == nvs.get("imgto", 0):
        put(nvs, ("imgbad", image), ("ota", ROLLED_BACK), ("otaver", image), ("img", 0))
    else:
        idle.mark_valid()
        put(nvs, ("imgok", image), ("ota", CONFIRMED), ("otaver", image), ("img", 0))
