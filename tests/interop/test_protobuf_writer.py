"""`Message` writes what `fields` reads."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minideconv.interop.protobuf import BYTES, FIXED32, VARINT, Message, fields


def read(message):
    file = io.BytesIO()
    message.write(file)
    content = file.getvalue()
    assert len(content) == message.size
    return list(fields(memoryview(content)))


@given(st.integers(1, (1 << 29) - 1), st.integers(-(1 << 63), (1 << 63) - 1))
def test_numbers_come_back(number, value):
    message = Message()
    message.integer(number, value)
    (field,) = read(message)
    assert (field.number, field.kind, field.integer()) == (number, VARINT, value)


@given(st.text(), st.binary(max_size=300), st.floats(width=32))
def test_texts_bytes_and_floats_come_back(text, data, value):
    message = Message()
    message.text(1, text)
    message.data(2, data)
    message.real(3, value)
    first, second, third = read(message)
    assert first.text() == text
    assert (second.kind, bytes(second.message())) == (BYTES, data)
    assert third.kind == FIXED32
    assert bytes(third.value) == struct.pack("<f", value)


def test_messages_in_messages_share_memory_with_large_arrays():
    array = np.arange(1000, dtype=np.uint8)
    inner, outer = Message(), Message()
    inner.integer(1, 300)
    inner.data(2, array.data)
    outer.message(7, inner)
    outer.integer(8, 0)
    array[5] = 77
    (field, last) = read(outer)
    number, data = fields(field.message())
    assert number.integer() == 300
    np.testing.assert_array_equal(np.frombuffer(data.value, np.uint8), array)
    assert last.integer() == 0


@pytest.mark.parametrize("value", [0, 1, 127, 128, 16383, 16384, -1])
def test_the_lengths_of_numbers_are_the_formats(value):
    message = Message()
    message.integer(1, value)
    assert message.size == 1 + {0: 1, 1: 1, 127: 1, 128: 2, 16383: 2, 16384: 3, -1: 10}[value]
