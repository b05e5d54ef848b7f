"""The inside of a xorb: a row of chunks, each behind a header that tells how it is packed and how long it is.

A range of a xorb that a hub signs holds whole chunks. So a range is sound if its chunks use it up to the last byte and
each unpacks to the length that its header says. That says nothing of what is in a chunk stored as it is.
"""
