"""Vivado's commands as far as the boards' Tcl uses them: arguments checked, objects recorded, nothing built.

What is written here of commands, IP and their ports follows Xilinx' UG835 (Tcl commands), UG994, UG1118 and the product
guides of the IP; none of it has met Vivado itself.
"""

import tkinter
from dataclasses import dataclass, field
from pathlib import Path

from pumice.spec import boards


@dataclass(frozen=True)
class Usage:
    """Arguments that a command takes: switches, options with a value, fewest and most others."""

    n: tuple[int, int]
    switches: str = ""
    options: str = ""


USAGES = {
    "add_files": Usage((1, 1), "-norecurse"),
    "apply_bd_automation": Usage((1, 1), options="-rule -config"),
    "assign_bd_address": Usage((1, 1), options="-offset -range -target_address_space"),
    "close_project": Usage((0, 0)),
    "connect_bd_intf_net": Usage((2, 2)),
    "connect_bd_net": Usage((2, 99)),
    "create_bd_cell": Usage((1, 1), options="-type -vlnv"),
    "create_bd_design": Usage((1, 1)),
    "create_project": Usage((2, 2), "-force", "-part"),
    "current_fileset": Usage((0, 0)),
    "current_project": Usage((0, 0)),
    "generate_target": Usage((2, 2)),
    "get_bd_addr_segs": Usage((0, 1), options="-of_objects"),
    "get_bd_addr_spaces": Usage((1, 1)),
    "get_bd_cells": Usage((1, 1)),
    "get_bd_intf_pins": Usage((1, 1)),
    "get_bd_pins": Usage((1, 1)),
    "get_files": Usage((1, 1)),
    "get_property": Usage((2, 2)),
    "get_runs": Usage((1, 1)),
    "get_timing_paths": Usage((0, 0), options="-delay_type"),
    "ipx::add_field": Usage((2, 2)),
    "ipx::add_register": Usage((2, 2)),
    "ipx::add_user_parameter": Usage((2, 2)),
    "ipx::check_integrity": Usage((1, 1)),
    "ipx::create_xgui_files": Usage((1, 1)),
    "ipx::current_core": Usage((0, 0)),
    "ipx::get_address_blocks": Usage((1, 1), options="-of_objects"),
    "ipx::get_fields": Usage((1, 1), options="-of_objects"),
    "ipx::get_memory_maps": Usage((1, 1), options="-of_objects"),
    "ipx::get_registers": Usage((1, 1), options="-of_objects"),
    "ipx::get_user_parameters": Usage((1, 1), options="-of_objects"),
    "ipx::package_project": Usage((0, 0), "-import_files -force", "-root_dir -vendor -library -taxonomy"),
    "ipx::save_core": Usage((1, 1)),
    "ipx::update_checksums": Usage((1, 1)),
    "launch_runs": Usage((1, 1), options="-to_step -jobs"),
    "make_wrapper": Usage((0, 0), "-top", "-files"),
    "open_run": Usage((1, 1)),
    "report_timing_summary": Usage((0, 0), options="-file"),
    "report_utilization": Usage((0, 0), "-hierarchical", "-file"),
    "save_bd_design": Usage((0, 0)),
    "set_property": Usage((1, 3), options="-dict"),
    "update_compile_order": Usage((0, 0), options="-fileset"),
    "update_ip_catalog": Usage((0, 0), "-rebuild"),
    "validate_bd_design": Usage((0, 0)),
    "wait_on_run": Usage((1, 1)),
}
"""Every command of Vivado that the Tcl may use."""


@dataclass(frozen=True)
class Ip:
    """Ports of an IP that must all be joined, and the parameters that may be set."""

    inputs: str = ""
    outputs: str = ""
    slaves: str = ""
    masters: str = ""
    parameters: str = ""
    segments: str = ""
    optional: str = ""


IPS = {
    boards.ENGINE_VLNV: Ip("aclk aresetn", "interrupt", "host", "memory", segments="host/registers"),
    boards.INTERRUPT_CONTROLLER_VLNV: Ip(
        "s_axi_aclk s_axi_aresetn intr", "irq", "s_axi", parameters="C_IRQ_CONNECTION", segments="S_AXI/Reg"
    ),
    boards.CONCAT_VLNV: Ip("In0", "dout", parameters="NUM_PORTS"),
    "xilinx.com:ip:proc_sys_reset:5.0": Ip("slowest_sync_clk ext_reset_in", "peripheral_aresetn"),
    "xilinx.com:ip:smartconnect:1.0": Ip(
        "aclk aresetn", slaves="S00_AXI", masters="M00_AXI M01_AXI", parameters="NUM_SI NUM_MI", optional="M01_AXI"
    ),
    boards.ZYNQ.vlnv: Ip(
        "M_AXI_GP0_ACLK S_AXI_HP0_ACLK IRQ_F2P",
        "FCLK_CLK0 FCLK_RESET0_N",
        "S_AXI_HP0",
        "M_AXI_GP0",
        "PCW_CRYSTAL_PERIPHERAL_FREQMHZ PCW_FPGA_FCLK0_ENABLE PCW_FCLK0_PERIPHERAL_CLKSRC PCW_FPGA0_PERIPHERAL_FREQMHZ "
        "PCW_USE_M_AXI_GP0 PCW_USE_S_AXI_HP0 PCW_S_AXI_HP0_DATA_WIDTH PCW_USE_FABRIC_INTERRUPT PCW_IRQ_F2P_INTR "
        "PCW_UIPARAM_DDR_PARTNO PCW_UIPARAM_DDR_BUS_WIDTH",
    ),
    boards.ZYNQ_ULTRASCALE.vlnv: Ip(
        "maxihpm0_fpd_aclk saxihp0_fpd_aclk pl_ps_irq0",
        "pl_clk0 pl_resetn0",
        "S_AXI_HP0_FPD",
        "M_AXI_HPM0_FPD",
        "PSU__FPGA_PL0_ENABLE PSU__CRL_APB__PL0_REF_CTRL__SRCSEL PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ "
        "PSU__USE__M_AXI_GP0 PSU__USE__M_AXI_GP1 PSU__USE__M_AXI_GP2 PSU__MAXIGP0__DATA_WIDTH PSU__USE__S_AXI_GP2 "
        "PSU__SAXIGP2__DATA_WIDTH PSU__USE__IRQ0",
    ),
}

PROPERTIES = {
    "fileset": "top",
    "project": "board_part ip_repo_paths",
    "file": "synth_checkpoint_mode",
    "core": "name version display_name description supported_families",
    "parameter": "value value_resolve_type",
    "block": "name range usage",
    "register": "address_offset size access",
    "field": "bit_offset bit_width access",
}
"""Kind of object -> properties that may be set; those of a cell are its IP's parameters."""

READABLE = {("PROGRESS", "run"): "100%", ("SLACK", "path"): "0.25"}
RULES = {
    "xilinx.com:bd_rule:processing_system7": {"make_external", "apply_board_preset", "Master", "Slave", "Disable"},
    "xilinx.com:bd_rule:zynq_ultra_ps_e": {"apply_board_preset"},
}


@dataclass
class Vivado:
    """A Tcl interpreter with stubs of Vivado's commands, and what they were told.

    Objects are strings ``kind name``. A wrong argument raises AssertionError out of `run`.
    """

    vlnv: dict[str, str] = field(default_factory=dict)
    properties: dict[str, dict[str, str]] = field(default_factory=dict)
    nets: list[list[str]] = field(default_factory=list)
    buses: list[tuple[str, str]] = field(default_factory=list)
    addresses: dict[str, tuple[int, int]] = field(default_factory=dict)
    made: list[str] = field(default_factory=list)
    used: list[tuple[str, ...]] = field(default_factory=list)
    problem: AssertionError | None = None

    def __post_init__(self):
        self.tcl = tkinter.Tcl()
        self.tcl.eval("namespace eval ipx {}; rename file real_file; rename puts real_puts")
        for name in USAGES:
            self.tcl.createcommand(name, self._stub(name))
        for name in ("exec", "file", "puts"):
            self.tcl.createcommand(name, self._stub(name))

    def run(self, script: Path) -> None:
        """Source a script."""
        try:
            self.tcl.eval(f"source {{{script}}}")
        except tkinter.TclError as error:
            raise self.problem or AssertionError(str(error)) from error
        self._check_design()

    def _stub(self, name: str):
        def stub(*words: str) -> str:
            try:
                self.used.append((name, *words))
                return self._call(name, words)
            except AssertionError as error:
                self.problem = error
                raise

        return stub

    def _call(self, name: str, words: tuple[str, ...]) -> str:
        if name == "file" and words[0] not in ("copy", "mkdir"):
            return self.tcl.call("real_file", *words)
        if name in ("exec", "file", "puts"):
            return ""
        usage, rest, options = USAGES[name], [], {}
        words_left = list(words)
        while words_left:
            word = words_left.pop(0)
            if word.startswith("-"):
                assert word in usage.switches.split() or word in usage.options.split(), f"{name} has no {word}"
                options[word[1:]] = words_left.pop(0) if word in usage.options.split() else ""
            else:
                rest.append(word)
        low, high = usage.n
        assert low <= len(rest) <= high, f"{name} takes {low} to {high} arguments, not {rest}"
        action = getattr(self, "_" + name.replace("::", "_"), None)
        return action(*rest, **options) if action else ""

    def _split(self, text: str) -> tuple[str, ...]:
        return self.tcl.splitlist(text)

    def _make(self, kind: str, name: str) -> str:
        made = f"{kind} {name}"
        assert made not in self.made, f"{made} exists"
        self.made.append(made)
        return made

    def _find(self, kind: str, name: str) -> str:
        assert f"{kind} {name}" in self.made, f"there is no {kind} {name}"
        return f"{kind} {name}"

    # Projects and runs.
    def _create_project(self, name, folder, *, part, force):
        self.made = [made for made in self.made if not made.startswith("core")] if name == "pumice" else self.made
        self.properties[f"project {name}"] = {"part": part}
        return self._make("project", name)

    def _current_project(self):
        return self._find("project", "pumice")

    def _current_fileset(self):
        return "fileset sources_1"

    def _update_compile_order(self, *, fileset):
        assert fileset == "sources_1"
        return ""

    def _get_files(self, name):
        assert name == "pumice.bd"
        return f"file {name}"

    def _get_runs(self, name):
        assert name == "impl_1"
        return f"run {name}"

    def _launch_runs(self, name, *, to_step, jobs):
        assert (name, to_step) == ("impl_1", "write_bitstream")
        assert int(jobs) > 0
        return ""

    def _get_timing_paths(self, *, delay_type):
        assert delay_type == "max"
        return "path 0"

    def _get_property(self, name, target):
        return READABLE[name, target.split()[0]]

    def _set_property(self, *rest, dict=None):
        assert len(rest) == (3 if dict is None else 1), f"set_property takes name, value and object, not {rest}"
        target = rest[-1]
        words = rest[:2] if dict is None else self._split(dict)
        assert len(words) % 2 == 0, f"{words} are not pairs"
        kind, name = target.split()[:2]
        if kind == "cell":
            allowed = {f"CONFIG.{parameter}" for parameter in IPS[self.vlnv[name]].parameters.split()}
        else:
            allowed = set(PROPERTIES[kind].split())
        for key, value in zip(words[::2], words[1::2], strict=True):
            assert key in allowed, f"{target} has no property {key}"
            self.properties.setdefault(target, {})[key.removeprefix("CONFIG.")] = value
        return ""

    # The packager.
    def _ipx_package_project(self, **options):
        assert (options["vendor"], options["library"]) == tuple(boards.ENGINE_VLNV.split(":")[:2])
        self._make("block", "reg0")
        return self._make("core", "0")

    def _ipx_current_core(self):
        return self._find("core", "0")

    def _ipx_add_user_parameter(self, name, core):
        assert core == "core 0"
        return self._make("parameter", name)

    def _ipx_get_user_parameters(self, name, *, of_objects):
        assert of_objects == "core 0"
        return self._find("parameter", name)

    def _ipx_get_memory_maps(self, name, *, of_objects):
        assert (name, of_objects) == (boards.CONTROL_PORT, "core 0")
        return "map host"

    def _ipx_get_address_blocks(self, name, *, of_objects):
        assert of_objects == "map host"
        return self._find("block", name)

    def _ipx_add_register(self, name, block):
        assert block == "block reg0"
        return self._make("register", name)

    def _ipx_get_registers(self, name, *, of_objects):
        assert of_objects == "block reg0"
        return self._find("register", name)

    def _ipx_add_field(self, name, register):
        return self._make("field", f"{self._find(*register.split())[9:]}.{name}")

    def _ipx_get_fields(self, name, *, of_objects):
        return self._find("field", f"{of_objects.split()[1]}.{name}")

    # The block design.
    def _create_bd_cell(self, name, *, type, vlnv):
        assert type == "ip"
        assert vlnv in IPS, f"unknown IP {vlnv}"
        self.vlnv[name] = vlnv
        return self._make("cell", name)

    def _get_bd_cells(self, name):
        return self._find("cell", name)

    def _apply_bd_automation(self, cell, *, rule, config):
        self._find(*cell.split())
        assert rule.split(":")[-1] == self.vlnv[cell.split()[1]].split(":")[2], f"{rule} is not for {cell}"
        assert set(self._split(config)[::2]) <= RULES[rule], f"{rule} has no such settings: {config}"
        return ""

    def _port(self, path: str, *kinds: str) -> str:
        cell, port = path.split("/")
        self._find("cell", cell)
        ports = {name for kind in kinds for name in getattr(IPS[self.vlnv[cell]], kind).split()}
        assert port in ports, f"{self.vlnv[cell]} has no {port}"
        return path

    def _get_bd_pins(self, path):
        return self._port(path, "inputs", "outputs")

    def _get_bd_intf_pins(self, path):
        return self._port(path, "slaves", "masters")

    def _connect_bd_net(self, *pins):
        self.nets.append(list(pins))
        return ""

    def _connect_bd_intf_net(self, first, second):
        self._port(first, "masters")
        self._port(second, "slaves")
        self.buses.append((first, second))
        return ""

    def _get_bd_addr_spaces(self, path):
        cell, space = path.split("/")
        assert space == ("memory" if cell == boards.ENGINE else "Data"), f"no address space {path}"
        return self._find("cell", cell) + " " + space

    def _get_bd_addr_segs(self, path=None, *, of_objects=None):
        if of_objects:
            return f"segment {self._port(of_objects, 'slaves')}"
        cell, segment = path.split("/", 1)
        assert segment in IPS[self.vlnv[cell]].segments.split(), f"{self.vlnv[cell]} has no segment {segment}"
        return f"segment {path}"

    def _assign_bd_address(self, segment, *, target_address_space, offset=None, range=None):
        cell = target_address_space.split()[1]
        if offset is None:
            assert cell == boards.ENGINE, "only the engine takes whatever address memory has"
        else:
            self.addresses[segment.split()[1].split("/")[0]] = int(offset, 0), int(range, 0)
        return ""

    def _check_design(self) -> None:
        """Everything is joined: each net by one driver, each bus once; and the end was reached."""
        commands = [name for name, *_ in self.used]
        order = ["validate_bd_design", "save_bd_design", "generate_target", "launch_runs", "wait_on_run", "open_run"]
        assert [name for name in commands if name in order] == order, "the steps to the bitstream are out of order"
        joined = [pin for net in self.nets for pin in net]
        assert len(set(joined)) == len(joined), "a pin is in two nets"
        for net in self.nets:
            drivers = [pin for pin in net if pin.split("/")[1] in IPS[self.vlnv[pin.split("/")[0]]].outputs.split()]
            assert len(drivers) == 1, f"{net} has drivers {drivers}"
        ends = [end for bus in self.buses for end in bus]
        assert len(set(ends)) == len(ends), "a bus is joined twice"
        for cell, vlnv in self.vlnv.items():
            ip = IPS[vlnv]
            optional = set() if self.properties.get(f"cell {cell}", {}).get("NUM_MI") == "2" else ip.optional.split()
            needed = {*ip.inputs.split(), *ip.slaves.split(), *ip.masters.split()} - set(optional)
            open_ports = needed - {end.split("/")[1] for end in joined + ends if end.split("/")[0] == cell}
            assert not open_ports, f"{cell}: {sorted(open_ports)} are open"
