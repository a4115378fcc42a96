"""The serial link between a host and a board without a processor: frames, requests, responses.

A frame is bytes between two END bytes, with END and ESCAPE inside it replaced by pairs, as in SLIP (RFC 1055): after a
lost or damaged byte the receiver is in step again at the next END. The bytes are 32-bit little-endian words, the last
of which is the CRC-32 (that of zlib) of those before it. Frames of no bytes are ignored, damaged ones are dropped.

Request
    LINK_REQUEST, then, of a write, its data. It reads or writes up to MAX_WORDS consecutive 32-bit words of one space:
    the host registers, or the board's memory, whose addresses are those of the engine's bus and repeat above its size.
Response
    LINK_RESPONSE with the request's sequence number, then, of a read, the data.

The host sends one request at a time and repeats it, with the same sequence number, until it is answered; a new request
has the next number. A board does not carry out a write whose number is that of the request before it, but answers it:
so every write happens once, however often its request or response was lost. Reads have no side effects and are
carried out each time. A host begins with a read, so that its numbers meet those of a host before it harmlessly.
"""

from .descriptor import Field, Packed

END, ESCAPE = 0xC0, 0xDB
ESCAPED = {END: 0xDC, ESCAPE: 0xDD}
"""What follows ESCAPE in place of a byte."""

MAX_WORDS = 256
"""Most words of data in a frame."""

SPACE_REGISTERS, SPACE_MEMORY = 0, 1

LINK_REQUEST = Packed(
    "link_request",
    2,
    (
        Field("sequence", 0, 0, 8, False, "Number of the request, modulo 256."),
        Field("write", 0, 8, 1, False, "1: write, 0: read."),
        Field("space", 0, 9, 1, False, "0 host registers, 1 memory."),
        Field("n_words_minus_1", 0, 16, 8, False, "Words to move, minus one."),
        Field("address", 1, 0, 32, False, "Byte address of the first word, a multiple of 4."),
    ),
    "Head of a request of the serial link.",
)

LINK_RESPONSE = Packed(
    "link_response",
    1,
    (
        Field("sequence", 0, 0, 8, False, "That of the request."),
        Field("memory_log2", 0, 8, 8, False, "Binary logarithm of the memory's size in bytes."),
    ),
    "Head of a response of the serial link.",
)
