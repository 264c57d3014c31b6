"""Takes acks back, for readings that are to be sent again."""


def rewind(queue, boot, from_seq):
    """Take back the acks of `boot` from `from_seq` on, as far as flash still has the readings; returns how many."""
    before = queue.waiting
    queue.ranges = [
        (one[0], one[1], min(one[2], from_seq - 1)) if one[0] == boot else one
        for one in queue.ranges
        if one[0] != boot or one[1] < from_seq
    ]
    for name in queue.segments:
        if name > queue.segment:
            break
        at = passed = 0
        queue.load(name)
        found = queue.find(0)
        while found is not None and (name, at) < (queue.segment, queue.at):
            if found[2] == boot and found[3] >= from_seq:
                queue.segment, queue.at, queue.passed = name, at, passed
                queue.front_boot = None
                break
            at = found[1]
            passed += 1
            found = queue.find(at)
        if name == queue.segment:
            break
    queue.dirty = True
    return queue.waiting - before
