"""Hardware hand-off (``.hwh``) of a board's block design: the engine's address, registers, interrupt, clock for PYNQ.

Holds what PYNQ 3.0.1 to 4.0.0 read and no more; Vivado writes a longer one beside the bitstream it makes.
"""

from itertools import groupby
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from . import boards, registers
from .boards import PynqBoard
from .config import EngineConfig

N_CLOCKS = 4  # programmable-logic clocks of either processor; the engine uses the first
REGISTER_BITS = 32
_ACCESS = {"ro": "read-only", "rw": "read-write", "wo": "write-only", "w1p": "write-only"}
_AXI = "xilinx.com:interface:aximm:1.0"


def hwh(config: EngineConfig, board: PynqBoard) -> str:
    """The hand-off of ``config`` on ``board``, as XML text; depends on its arguments and the spec alone."""
    system = _element(
        "EDKSYSTEM",
        _element("SYSTEMINFO", NAME=f"pumice_{config.name}", BOARD=board.name, DEVICE=board.part),
        _element("EXTERNALPORTS"),  # PYNQ looks for it even when it is empty
        _element("EXTERNALINTERFACES"),
        _element("MODULES", _engine(config), _interrupt_controller(board), _concat(), _processor(board)),
        EDWVERSION="1.2",
    )
    ElementTree.indent(system, " ")
    return ElementTree.tostring(system, encoding="utf-8", xml_declaration=True).decode() + "\n"


def _engine(config: EngineConfig) -> Element:
    block = _element(
        "ADDRESSBLOCK",
        _element("REGISTERS", *(_register(list(fields)) for _, fields in groupby(registers.block("host"), _offset))),
        INTERFACE=boards.CONTROL_PORT,
        NAME="registers",
        RANGE=boards.ENGINE_BYTES,
        USAGE="register",
        ACCESS="read-write",
    )
    return _module(
        boards.ENGINE,
        boards.ENGINE_VLNV,
        _element("ADDRESSBLOCKS", block),
        _parameters({"CONFIG_ID": f"{config.config_id:#010x}", "N_CORES": config.n_cores, "N_LANES": config.n_lanes}),
        _element(
            "PORTS",
            _port(boards.INTERRUPT_PORT, "O", (boards.CONCAT, "In0"), SIGIS="INTERRUPT", SENSITIVITY="LEVEL_HIGH"),
        ),
        _element("BUSINTERFACES", _bus(boards.CONTROL_PORT, "SLAVE"), _bus(boards.MEMORY_PORT, "MASTER")),
    )


def _register(fields: list[registers.Register]) -> Element:
    first = fields[0]
    access = {_ACCESS[field.access] for field in fields}
    return _element(
        "REGISTER",
        *_properties(
            ADDRESS_OFFSET=first.offset,
            SIZE=REGISTER_BITS,
            ACCESS=access.pop() if len(access) == 1 else "read-write",
            DESCRIPTION=" ".join(field.doc for field in fields),
            IS_ENABLED="true",
        ),
        _element(
            "FIELDS",
            *(
                _element(
                    "FIELD",
                    *_properties(
                        BIT_OFFSET=field.lsb,
                        BIT_WIDTH=field.bits,
                        ACCESS=_ACCESS[field.access],
                        DESCRIPTION=field.doc,
                    ),
                    NAME=field.name.upper(),
                )
                for field in fields
            ),
        ),
        NAME=first.reg.upper(),  # in lower case, a field "address" would hide an attribute of PYNQ's registers
    )


def _interrupt_controller(board: PynqBoard) -> Element:
    return _module(
        boards.INTERRUPT_CONTROLLER,
        boards.INTERRUPT_CONTROLLER_VLNV,
        _element(
            "PORTS",
            _port("intr", "I", (boards.CONCAT, "dout"), SIGIS="INTERRUPT", LEFT=0, RIGHT=0),
            _port("irq", "O", (board.processor.instance, board.processor.interrupt_port), SIGIS="INTERRUPT"),
        ),
        _element("BUSINTERFACES", _bus("s_axi", "SLAVE")),
    )


def _concat() -> Element:
    ports = (
        _port("In0", "I", (boards.ENGINE, boards.INTERRUPT_PORT), LEFT=0, RIGHT=0),
        _port("dout", "O", (boards.INTERRUPT_CONTROLLER, "intr"), LEFT=0, RIGHT=0),
    )
    return _module(boards.CONCAT, boards.CONCAT_VLNV, _parameters({"NUM_PORTS": 1}), _element("PORTS", *ports))


def _processor(board: PynqBoard) -> Element:
    processor = board.processor
    memory_map = _element(
        "MEMORYMAP",
        _range(board, boards.ENGINE, boards.CONTROL_PORT, processor.engine_address, boards.ENGINE_BYTES),
        _range(
            board,
            boards.INTERRUPT_CONTROLLER,
            "s_axi",
            processor.interrupt_controller_address,
            boards.INTERRUPT_CONTROLLER_BYTES,
        ),
    )
    interrupt = _port(
        processor.interrupt_port, "I", (boards.INTERRUPT_CONTROLLER, "irq"), SIGIS="INTERRUPT", LEFT=0, RIGHT=0
    )
    return _module(
        processor.instance,
        processor.vlnv,
        _parameters(_clocks(board)),
        _element("PORTS", interrupt),
        _element("BUSINTERFACES", _bus(processor.control_port, "MASTER"), _bus(processor.memory_port, "SLAVE")),
        memory_map,
        IS_PL="FALSE",
    )


def _clocks(board: PynqBoard) -> dict[str, object]:
    """Parameters of the processor's clocks: the first as the board says, the others off."""
    parameters: dict[str, object] = {}
    for i in range(N_CLOCKS):
        first, second = board.divisors if i == 0 else (1, 1)
        if board.processor is boards.ZYNQ:
            parameters |= {
                f"PCW_FPGA_FCLK{i}_ENABLE": int(i == 0),
                f"PCW_FCLK{i}_PERIPHERAL_DIVISOR0": first,
                f"PCW_FCLK{i}_PERIPHERAL_DIVISOR1": second,
                f"PCW_FCLK{i}_PERIPHERAL_CLKSRC": "IO PLL",
            }
        else:
            control = f"PSU__CRL_APB__PL{i}_REF_CTRL__"
            parameters |= {
                f"PSU__FPGA_PL{i}_ENABLE": int(i == 0),
                f"{control}DIVISOR0": first,
                f"{control}DIVISOR1": second,
                f"{control}SRCSEL": "IOPLL",
                f"{control}ACT_FREQMHZ": f"{board.clock_mhz:.6f}",
            }
    return parameters


def _offset(register: registers.Register) -> int:
    return register.offset


def _range(board: PynqBoard, instance: str, interface: str, address: int, n_bytes: int) -> Element:
    return _element(
        "MEMRANGE",
        INSTANCE=instance,
        ADDRESSBLOCK="registers",
        MEMTYPE="REGISTER",
        BASEVALUE=f"{address:#010x}",
        HIGHVALUE=f"{address + n_bytes - 1:#010x}",
        MASTERBUSINTERFACE=board.processor.control_port,
        SLAVEBUSINTERFACE=interface,
    )


def _module(instance: str, vlnv: str, *children: Element, **attributes) -> Element:
    names = {"FULLNAME": f"/{instance}", "INSTANCE": instance, "MODTYPE": vlnv.split(":")[2], "VLNV": vlnv}
    return _element("MODULE", *children, **names, **attributes)


def _parameters(values: dict[str, object]) -> Element:
    return _element("PARAMETERS", *(_element("PARAMETER", NAME=name, VALUE=value) for name, value in values.items()))


def _port(name: str, direction: str, peer: tuple[str, str], **attributes) -> Element:
    connection = _element("CONNECTION", INSTANCE=peer[0], PORT=peer[1])
    return _element("PORT", _element("CONNECTIONS", connection), DIR=direction, NAME=name, **attributes)


def _bus(name: str, kind: str) -> Element:
    return _element("BUSINTERFACE", NAME=name, TYPE=kind, VLNV=_AXI)


def _properties(**values) -> list[Element]:
    return [_element("PROPERTY", NAME=name, VALUE=value) for name, value in values.items()]


def _element(tag: str, *children: Element, **attributes) -> Element:
    element = Element(tag, {name: str(value) for name, value in attributes.items()})
    element.extend(children)
    return element
