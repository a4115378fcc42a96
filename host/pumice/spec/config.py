"""Engine configurations: the sizes that gateware, compiler and simulator share."""

import zlib
from dataclasses import astuple, dataclass

from .stripes import MAX_VECTORS

WEIGHT_WORD_BITS = 64  # weight memory, AXI data bus and DMA beats have one width


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """Sizes of one synthesised engine.

    Attributes
    ----------
    name : str
        What users call it.
    n_cores : int
        Cores, each streaming its own rows; 1..16.
    n_lanes : int
        Multipliers of a core = banks of its activation memory = bytes of a vector; a power of two, 8..64.
    bank_depth : int
        Bytes of one bank; a power of two. Activation memory is ``n_lanes * bank_depth`` bytes, replicated in each core.
    weight_depth : int
        64-bit words of one core's weight memory.
    max_taps : int
        Entries of a core's tap table, 16..1024.
    stripe_depth : int
        Columns of a lane in a striped layer, a power of two, 16..128.
    cpu_ram_bytes : int
        Soft-core RAM: firmware, command lists, layer log; a power of two.
    clock_mhz : float
        Clock the configuration is meant for; cycles / clock gives the reported latency.
    ultra_ram : bool
        Weight memories lie in UltraRAM, which UltraScale+ has, instead of block RAM; nothing else depends on it.
    """

    name: str
    n_cores: int
    n_lanes: int
    bank_depth: int
    weight_depth: int
    max_taps: int = 256
    stripe_depth: int = 128
    cpu_ram_bytes: int = 32768
    clock_mhz: float = 120.0
    ultra_ram: bool = False

    def __post_init__(self):
        if not 1 <= self.n_cores <= 16:
            raise ValueError(f"n_cores must be in 1..16, not {self.n_cores}")
        if self.n_lanes not in (8, 16, 32, 64):
            raise ValueError(f"n_lanes must be 8, 16, 32 or 64, not {self.n_lanes}")
        for name, low, high in (
            ("bank_depth", 64, 1 << 15),
            ("stripe_depth", 16, MAX_VECTORS),
            ("cpu_ram_bytes", 16384, 1 << 19),
        ):
            value = getattr(self, name)
            if not low <= value <= high or value & (value - 1):
                raise ValueError(f"{name} must be a power of two in {low}..{high}, not {value}")
        if not 256 <= self.weight_depth <= 1 << 16:
            raise ValueError(f"weight_depth must be in 256..{1 << 16} words, not {self.weight_depth}")
        if not 16 <= self.max_taps <= 1024:
            raise ValueError(f"max_taps must be in 16..1024, not {self.max_taps}")
        if self.address_bits > 21:
            raise ValueError("activation memory must not exceed 2 MiB: row headers hold 21-bit addresses")
        if self.clock_mhz <= 0:
            raise ValueError(f"clock_mhz must be positive, not {self.clock_mhz}")

    @property
    def n_requantisers(self) -> int:
        """Requantise units of a core: a row of lanes drains in 8 cycles."""
        return self.n_lanes // 8

    @property
    def activation_bytes(self) -> int:
        """Bytes of activation memory (each core holds a copy)."""
        return self.n_lanes * self.bank_depth

    @property
    def address_bits(self) -> int:
        """Bits of an activation byte address; addresses wrap at this size."""
        return self.activation_bytes.bit_length() - 1

    @property
    def n_multipliers(self) -> int:
        """Multiply-accumulates per cycle."""
        return self.n_cores * self.n_lanes

    @property
    def config_id(self) -> int:
        """32-bit fingerprint of everything an image depends on; read back from the hardware's ``config`` register."""
        return zlib.crc32(repr(astuple(self)[1:-2]).encode())


TINY = EngineConfig(name="TINY", n_cores=1, n_lanes=8, bank_depth=2048, weight_depth=2048, max_taps=128)
Z7020 = EngineConfig(name="Z7020", n_cores=4, n_lanes=32, bank_depth=2048, weight_depth=6144)
ULX3S = EngineConfig(name="ULX3S", n_cores=2, n_lanes=16, bank_depth=2048, weight_depth=6144, clock_mhz=60.0)
# Each bank is a block RAM of 2 KiB: of the larger ones neither chip has as many. UltraRAM comes in 4,096 words.
KV260 = EngineConfig(
    name="KV260", n_cores=8, n_lanes=32, bank_depth=2048, weight_depth=16384, clock_mhz=200.0, ultra_ram=True
)
ZCU104 = EngineConfig(
    name="ZCU104", n_cores=16, n_lanes=32, bank_depth=2048, weight_depth=16384, clock_mhz=200.0, ultra_ram=True
)

CONFIGS = {config.name: config for config in (TINY, Z7020, ULX3S, KV260, ZCU104)}
