"""The opcodes of pickle, protocols 0 to 5, as `_pickle.c` reads them: what follows each in the stream.

Most only have a width and an effect on the height of the stack; those are a table. The rest is in `walk`.
"""

from __future__ import annotations

from typing import Final

#: Opcodes that `walk` knows by name.
MARK, STOP, POP, POP_MARK, DUP = b"(.012"
GLOBAL, INST, OBJ, REDUCE, BUILD = b"cioRb"
NEWOBJ, NEWOBJ_EX, STACK_GLOBAL, PROTO, FRAME = b"\x81\x92\x93\x80\x95"
EXT1, EXT2, EXT4 = b"\x82\x83\x84"
PUT, BINPUT, LONG_BINPUT, MEMOIZE = b"pqr\x94"
GET, BINGET, LONG_BINGET = b"ghj"
TUPLE, TUPLE1, TUPLE2, TUPLE3 = b"t\x85\x86\x87"
LIST, DICT, FROZENSET = b"ld\x91"
APPEND, APPENDS, SETITEM, SETITEMS, ADDITEMS = b"aesu\x90"
EMPTY_DICT, EMPTY_TUPLE, BININT, BININT1, BININT2, LONG1, LONG4 = b"})JKM\x8a\x8b"
INT, LONG, FLOAT, STRING, UNICODE, PERSID = b"ILFSVP"

#: Opcode: bytes that follow, objects taken off the stack before one is put on it.
PLAIN: Final[dict[int, tuple[int, int]]] = {
    **dict.fromkeys(b"N\x88\x89]\x8f\x97", (0, 0)),  # NONE, NEWTRUE, NEWFALSE, the empty ones, NEXT_BUFFER
    ord("G"): (8, 0),  # BINFLOAT
    ord("Q"): (0, 1),  # BINPERSID
    0x98: (0, 1),  # READONLY_BUFFER
}

#: Opcode: width of the length that comes before the bytes, whether it has a sign, whether the bytes are a `str`.
COUNTED: Final[dict[int, tuple[int, bool, bool]]] = {
    ord("U"): (1, False, True),  # SHORT_BINSTRING
    ord("T"): (4, True, True),  # BINSTRING
    0x8C: (1, False, True),  # SHORT_BINUNICODE
    ord("X"): (4, False, True),  # BINUNICODE
    0x8D: (8, False, True),  # BINUNICODE8
    ord("C"): (1, False, False),  # SHORT_BINBYTES
    ord("B"): (4, False, False),  # BINBYTES
    0x8E: (8, False, False),  # BINBYTES8
    0x96: (8, False, False),  # BYTEARRAY8
}
