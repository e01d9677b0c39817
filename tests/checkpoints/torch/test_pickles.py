import os
import pickle
import struct
import time
from collections import OrderedDict
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssmspec.checkpoints.torch.machine import Global, Items, Stub
from ssmspec.checkpoints.torch.names import collect
from ssmspec.checkpoints.torch.pickles import interpret
from ssmspec.checkpoints.torch.tensors import Storage, StoredTensor
from ssmspec.errors import CheckpointError, UnsafeCheckpointError
from tests.examples.torch_forgery import MIB, bounded

NO_NUMBERS = (b"eval", b"exec", b"compile", b"__import__", b"open")


def read(data, calls=None):
    return interpret(data, calls or {}, lambda identifier: identifier)


def plain(value):
    if isinstance(value, Items):
        return {plain(key): plain(item) for key, item in value.pairs()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return tuple(plain(item) for item in value) if isinstance(value, tuple) else value


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**500), 2**500)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
)
keys = st.text() | st.integers() | st.booleans()
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(keys, inner, max_size=5)
        | st.lists(inner, max_size=5).map(tuple)
    ),
    max_leaves=30,
)


@given(values, st.integers(3, 5))
def test_plain_values_come_out_as_the_standard_unpickler_gives_them(value, protocol):
    data = pickle.dumps(value, protocol)
    assert plain(read(data).root) == pickle.loads(data)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_long_and_shared_values(protocol):
    shared = ["x" * 300, 2**70, -1, 255, 65535, -(2**31), 1e-300, list(range(3000))]
    value = {"a": shared, "b": (shared, shared), "c": dict.fromkeys(map(str, range(2500)), 1.5)}
    assert plain(read(pickle.dumps(value, protocol)).root) == value


@pytest.mark.parametrize("protocol", [4, 5])
def test_sets_and_byte_arrays(protocol):
    value = [{1, 2}, frozenset({3}), {"x"}]
    ones, threes, texts = plain(read(pickle.dumps(value, protocol)).root)
    assert (set(ones), threes, texts) == ({1, 2}, [3], ["x"])
    assert read(pickle.dumps(bytearray(b"abc"), 5)).root == b"abc"


class Box:
    def __init__(self):
        self.inside = [1, 2]


class Slotted:
    __slots__ = ("a",)


class Table(dict):
    pass


@pytest.mark.parametrize("protocol", [2, 4])
def test_instances_of_unknown_classes_keep_their_state(protocol):
    table = Table(k=1)
    table.name = "t"
    pickled = read(pickle.dumps([Box(), table], protocol))
    box, stub = pickled.root
    assert isinstance(box, Stub)
    assert isinstance(box.callee, Global)
    assert box.callee.name == "Box"
    assert plain(box.state) == {"inside": [1, 2]}
    assert plain(stub.items) == {"k": 1}
    assert plain(stub.state) == {"name": "t"}
    assert [name.rsplit(".", 1)[-1] for name in pickled.unknown] == ["Box", "Table"]


def test_given_functions_stand_in_for_calls_and_nothing_is_imported():
    data = b"\x80\x02cno_such_module\nmake\nK\x02K\x03\x86R."
    assert read(data, {"no_such_module.make": lambda args: ("made", *args)}).root == ("made", 2, 3)
    stub = read(data).root
    assert (stub.callee.path, stub.args) == ("no_such_module.make", (2, 3))


def test_persistent_ids_go_through_the_callers_function():
    found = interpret(b"\x80\x02K\x07Q.", {}, lambda identifier: ("object", identifier))
    assert found.root == ("object", 7)


class Command:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_command_is_named_and_not_run(tmp_path, protocol):
    sentinel = tmp_path / "sentinel"
    with pytest.raises(UnsafeCheckpointError, match=r"(posix|nt)\.system.*nothing was executed"):
        read(pickle.dumps({"w": Command(sentinel)}, protocol))
    assert not sentinel.exists()


@pytest.mark.parametrize("name", NO_NUMBERS)
@pytest.mark.parametrize("module", [b"builtins", b"__builtin__"])
def test_functions_that_run_code_are_refused(module, name):
    classic = b"\x80\x02c" + module + b"\n" + name + b"\nX\x01\x00\x00\x001\x85R."
    framed = b"\x80\x04" + b"".join(b"\x8c" + bytes([len(t)]) + t for t in (module, name))
    for data in (classic, framed + b"\x93."):
        with pytest.raises(UnsafeCheckpointError, match="runs code"):
            read(data)


def test_a_function_reached_through_another_module_is_refused():
    with pytest.raises(UnsafeCheckpointError, match="runs code"):
        read(b"\x80\x04\x8c\x08tempfile\x8c\tos.system\x93.")


def u64(number):
    return struct.pack("<Q", number)


ALLOCATORS = {
    "BINBYTES8": b"\x8e" + u64(2**40),
    "BINUNICODE8": b"\x8d" + u64(2**62),
    "BYTEARRAY8": b"\x96" + u64(2**33),
    "BINBYTES": b"B\xff\xff\xff\xff",
    "BINUNICODE": b"X\xff\xff\xff\x7f",
    "BINSTRING": b"T\xff\xff\xff\x7f",
    "FRAME": b"\x95" + u64(2**63),
    "LONG_BINPUT": b"Nr\xff\xff\xff\xff",
    "LONG4": b"\x8b\xff\xff\xff\x7f",
}


@pytest.mark.parametrize("name", ALLOCATORS)
def test_claims_beyond_the_pickle_allocate_nothing(name):
    with bounded(1, 2), pytest.raises(UnsafeCheckpointError):
        read(b"\x80\x04" + ALLOCATORS[name] + b".")


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\x80", b"\x80\x02", b".", b"\x80\x02(", b"\x80\x02t.", b"\x80\x020.",
        b"\x80\x02h\x05.",
        b"\x80\x02}K\x01s.", b"\x80\x02}(K\x01u.", b"\x80\x02K\x01K\x02a.", b"\x80\x02}K\x01a.",
        b"\x80\x02K\x01)R.", b"\x80\x02K\x01\x87.", b"\x80\x02cmodule", b"\x80\x02(K\x010t0t.",
        b"\x80\x02K\x01(00t.", b"\x80\x02X\x01\x00\x00\x00\xff.",
        b"\x80\x04K\x01K\x02\x93.", b"\x80\x02G\x00",
    ],
)  # fmt: skip
def test_malformed_pickles_are_refused(data):
    with pytest.raises(CheckpointError):
        read(data)


@pytest.mark.parametrize("opcode", [b"I1\n", b"F1\n", b"P1\n", b"\x82\x01", b"i", b"o", b"\x97"])
def test_opcodes_that_torch_never_writes_are_refused(opcode):
    with pytest.raises(CheckpointError, match="opcode 0x"):
        read(b"\x80\x02" + opcode + b".")


@pytest.mark.parametrize("cut", range(1, 120, 7))
def test_a_cut_pickle_is_refused(cut):
    data = pickle.dumps(OrderedDict(a=[1.5, (2, "three")], b={"c": b"four"}), 4)
    with pytest.raises(CheckpointError):
        read(data[: max(len(data) - cut, 0)])


def test_a_class_path_of_any_length_is_refused():
    with pytest.raises(CheckpointError):
        read(b"\x80\x02c" + b"a" * 10_000 + b"\nb\n.")


NESTED = {
    "tuples": lambda levels: b")" + b"\x85" * (4 * levels),
    "lists": lambda levels: b"]" * levels + b"a" * (levels - 1),
    "dicts": lambda levels: b"}K\x00" * levels + b"N" + b"s" * levels,
    "marks": lambda levels: b"(" * levels + b"t" * levels,
}


@pytest.mark.parametrize("kind", NESTED)
def test_deep_nesting_neither_recurses_nor_hangs(kind):
    def nested(levels):
        data = b"\x80\x02" + NESTED[kind](levels) + b"."
        root = read(data).root
        # Nested ever deeper under the names 0, 0.0, 0.0.0, ...: refused where that costs too much.
        with suppress(UnsafeCheckpointError):
            assert not collect(root, len(data)).tensors
        del root

    with bounded(20, 60):  # counting bytes makes it ten times slower: fewer levels, in proportion
        nested(10_000)
    begin = time.process_time()
    nested(50_000)
    assert time.process_time() - begin < 15


def tensor(key="0"):
    return StoredTensor(Storage(key, "float32", 1), "float32", 0, (), ())


def test_names_are_paths_without_module_tables():
    weight, bias, step = tensor("0"), tensor("1"), tensor("2")
    inner = Stub(Global("m", "Linear"), (), Items(["_parameters", Items(["weight", weight])]))
    model = Stub(
        Global("m", "Net"), (), Items(["_modules", Items(["0", inner]), "_buffers", Items([])])
    )
    state = Items([0, Items(["step", step])])
    root = Items(["model", model, "optimizer", Items(["state", state, "lr", 0.5]), "b", [bias]])
    found = collect(root, 100)
    assert found.tensors == {
        "model.0.weight": weight, "optimizer.state.0.step": step, "b.0": bias
    }  # fmt: skip
    assert found.metadata == {"optimizer.lr": "0.5"}


def test_a_bare_tensor_has_a_name():
    assert collect(tensor(), 10).tensors == {"tensor": tensor()}


def test_the_last_of_equal_keys_counts():
    found = collect(Items(["w", tensor("0"), "w", tensor("1")]), 10)
    assert found.tensors == {"w": tensor("1")}


def test_different_tensors_of_one_name_are_numbered():
    root = Items(
        ["a.b", tensor("0"), "a", Items(["b", tensor("1")]), 1, tensor("2"), "1", tensor("2")]
    )
    found = collect(root, 10)
    assert found.tensors == {"a.b": tensor("0"), "a.b#2": tensor("1"), "1": tensor("2")}
    assert set(found.numbers) == {"a.b"}


def test_many_tensors_of_one_name_take_linear_time():
    root: object = Items(["", Items([])])
    for index in range(20_000):
        root = Items(["", root, "w", tensor(str(index))])
    with bounded(200, 20):
        assert len(collect(root, 1_000_000).tensors) == 20_000


def test_an_object_that_holds_itself_is_walked_once():
    loop = Items(["w", tensor()])
    loop.extend(["self", loop, "list", [loop, (loop,)]])
    model = Stub(Global("m", "Net"), ())
    model.state = Items(["w", tensor(), "parent", [model], "loop", loop])
    assert set(collect(loop, 100).tensors) == {"w"}
    assert set(collect(model, 100).tensors) == {"w", "loop.w"}


@pytest.mark.parametrize("pair", [b"\x86", b"]"], ids=["tuples", "lists"])
def test_shared_containers_that_spell_out_too_many_paths_are_refused(pair):
    double = b"2" + pair if pair == b"\x86" else b"q\x010](h\x01h\x01e"
    data = b"\x80\x02)K\x00\x86" + double * 60 + b"."
    with bounded(50, 30):
        pickled = read(data)
        with pytest.raises(UnsafeCheckpointError, match="refer to one another"):
            collect(Items(["a", pickled.root]), len(data))


def test_long_keys_above_many_tensors_are_refused():
    root = Items(["k" * MIB, Items([part for i in range(10_000) for part in (str(i), tensor())])])
    with bounded(50, 30), pytest.raises(UnsafeCheckpointError):
        collect(root, 2 * MIB)


def test_integer_keys_that_collide_cost_no_more_than_others():
    step = 2**61 - 1  # Python hashes integers modulo this
    items = b"".join(b"\x8a\x0c" + (i * step).to_bytes(12, "little") + b"N" for i in range(50_000))
    data = b"\x80\x02}(" + items + b"u."
    with bounded(100, 20):
        collect(read(data).root, len(data))


def test_calls_that_share_an_argument_do_not_copy_it():
    from ssmspec.checkpoints.torch.tensors import CALLS

    # One list of 200,000 elements, and 20,000 calls that take it.
    call = b"h\x01h\x02\x85R0"
    data = b"\x80\x02cbuiltins\nset\nq\x010](" + b"N" * 200_000 + b"eq\x020" + call * 20_000 + b"N."
    with bounded(50, 20):
        assert read(data, CALLS).root is None
