"""Names of the tensors that a network returns, and of layers."""

from collections import Counter
from dataclasses import replace

from ..graph import Layer


class Names:
    """Other names for tensors: ``names``, but those that would then exist twice.

    Parameters
    ----------
    names : dict of str to str
    taken : collection of str
        All tensors.
    """

    def __init__(self, names: dict[str, str], taken):
        self.names = {old: new for old, new in names.items() if new not in taken}

    def of(self, name: str) -> str:
        """The name of one tensor."""
        return self.names.get(name, name)

    def keys(self, entries: dict) -> dict:
        """Entries by name."""
        return {self.of(name): entry for name, entry in entries.items()}

    def layers(self, layers: list[Layer]) -> list[Layer]:
        """Layers that read and make them."""
        return [
            replace(layer, inputs=tuple(map(self.of, layer.inputs)), output=self.of(layer.output)) for layer in layers
        ]


def with_short_names(layers: list[Layer]) -> list[Layer]:
    """Layers under names to read and to type.

    TensorFlow's converter calls a layer ``a;b;c`` after all operators that became it, and ``a``, the last of them, is
    enough unless another layer is called that. Tensors keep their names.
    """
    firsts = {layer.name: layer.name.split(";")[0] for layer in layers}
    n_called = Counter(firsts.values())
    return [
        replace(layer, name=first) if (first := firsts[layer.name]) and n_called[first] == 1 else layer
        for layer in layers
    ]
