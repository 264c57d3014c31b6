"""The loader's choice of a slot, on both interpreters."""

from firmware.device import loader


class Integers:
    """NVS as the loader sees it; `broken` makes it forget what is written."""

    def __init__(self, values=None, broken=False):
        self.values = dict(values or {})
        self.broken = broken

    def get_i32(self, key):
        if key not in self.values:
            raise OSError("ESP_ERR_NVS_NOT_FOUND")
        return self.values[key]

    def set_i32(self, key, value):
        if self.broken:
            raise OSError("ESP_ERR_NVS_NOT_ENOUGH_SPACE")
        self.values[key] = value

    def commit(self):
        pass


def _choose(values, versions, broken=False):
    nvs = Integers(values, broken)
    return loader.choose(loader.Memory(nvs), versions), nvs.values


def test_a_new_node_starts_its_only_slot():
    """Without NVS the provisioned version runs and counts as confirmed."""
    slot, values = _choose({}, [10300, None])
    assert slot == 0
    assert values["floor"] == 10300
    assert not values.get("trial")


def test_a_confirmed_version_is_not_counted():
    """Starts of a confirmed version write nothing."""
    before = {"slot": 1, "floor": 10400, "trial": 0, "tries": 0}
    assert _choose(before, [10300, 10400]) == (1, before)


def test_three_tries_then_back_for_good():
    """A version on trial gets three starts; at the fourth the old one runs, and the new one is marked bad."""
    values = {"slot": 1, "floor": 10300, "trial": 1, "tries": 0}
    for tries in (1, 2, 3):
        slot, values = _choose(values, [10300, 10400])
        assert (slot, values["tries"], values["trial"]) == (1, tries, 1)
    slot, values = _choose(values, [10300, 10400])
    assert (slot, values["slot"], values["bad"], values["trial"]) == (0, 0, 10400, 0)
    assert _choose(values, [10300, 10400])[0] == 0


def test_a_lost_trial_flag_is_put_back():
    """A power cut between slot and flag leaves a version above the floor: it is on trial all the same."""
    slot, values = _choose({"slot": 1, "floor": 10300}, [10300, 10400])
    assert (slot, values["trial"], values["tries"]) == (1, 1, 1)


def test_a_stale_trial_flag_is_taken_away():
    """A power cut between floor and flag at the confirmation does not send a confirmed version back."""
    slot, values = _choose({"slot": 1, "floor": 10400, "trial": 1, "tries": 3}, [10300, 10400])
    assert (slot, values["trial"]) == (1, 0)


def test_a_cut_roll_back_is_finished():
    """With the version already marked bad, its slot is left also when the slot number was not written."""
    slot, values = _choose({"slot": 1, "floor": 10300, "bad": 10400, "trial": 1, "tries": 3}, [10300, 10400])
    assert (slot, values["slot"]) == (0, 0)


def test_an_incomplete_slot_is_not_started():
    """A slot without a version file makes way for one that has it."""
    assert _choose({"slot": 0, "floor": 10300}, [None, 10300])[0] == 1


def test_nvs_gone_means_the_newest_on_trial():
    """Without memory the newer slot runs, and the older one stays the way back."""
    slot, values = _choose({}, [10300, 10400])
    assert (slot, values["trial"], values["floor"]) == (1, 1, 10300)
    slot, values = _choose({}, [10500, 10400])
    assert (slot, values["trial"], values["floor"]) == (0, 1, 10400)


def test_a_try_that_cannot_be_counted_is_none():
    """When NVS takes no writes, a version on trial does not start: it could loop for ever."""
    assert _choose({"slot": 1, "floor": 10300, "trial": 1}, [10300, 10400], broken=True)[0] == 0


def test_without_the_other_slot_the_trial_goes_on():
    """A version that cannot go back anywhere keeps trying."""
    values = {"slot": 1, "floor": 10300, "trial": 1, "tries": 3}
    for _ in range(5):
        slot, values = _choose(values, [None, 10400])
        assert slot == 1


def test_any_memory_ends_on_a_complete_slot():
    """Whatever the integers hold, a complete slot is chosen while there is one, and soon the same one for good."""
    odd = (-2147483648, -1, 0, 1, 2, 3, 10300, 10400, 10401, 2147483647)
    for slot in odd:
        for floor in odd:
            for tries in (-1, 0, 3, 7):
                for bad in (0, 10300, 10400):
                    for versions in ([10300, 10400], [10400, None], [None, 10300]):
                        values = {"slot": slot, "floor": floor, "tries": tries, "bad": bad, "trial": 7}
                        chosen = []
                        for _ in range(6):
                            one, values = _choose(values, versions)
                            assert versions[one] is not None
                            chosen.append(one)
                        assert chosen[-1] == chosen[-2]


def test_five_crashes_of_a_confirmed_version_change_the_slot():
    """A confirmed version that always crashes makes way, but never for one that was rolled back."""
    nvs = Integers({"slot": 1, "floor": 10400})
    memory = loader.Memory(nvs)
    for _ in range(4):
        loader.crashed(memory, 1, [10300, 10400])
    assert nvs.values["slot"] == 1
    loader.crashed(memory, 1, [10300, 10400])
    assert nvs.values["slot"] == 0
    nvs = Integers({"slot": 0, "floor": 10300, "bad": 10400})
    memory = loader.Memory(nvs)
    for _ in range(20):
        loader.crashed(memory, 0, [10300, 10400])
    assert nvs.values["slot"] == 0
    assert nvs.values["fails"] == 5
