"""From a graph to what the engine runs, in the order of these passes.

``lower``: every layer becomes sparse rows over taps (`operation.Operation`); ``relayout``: one layout for all readers
of a tensor; ``dead``: drops channels that nobody reads and constants that add nothing; ``layout``: planes and padding
of each tensor; ``lanes``: pools over whole maps as sums over lanes; ``memory``: activation addresses; ``encode``:
addressing, format and stream of each layer; ``weights``: rows dealt to cores (``deal``), what stays in weight memory
and what streams; ``schedule``: command lists and bytes. ``cycles`` predicts how long a layer takes.
"""
