"""A bitstream for the PYNQ-Z2's XC7Z020 with open tools: ``pumice build --board pynq-z2 --toolchain open``.

Yosys, nextpnr's chip database and Project X-Ray come out of Debian's newest suite, fetched with an apt configuration of
their own and unpacked into a folder (``python -m pumice.open_xc7 --fetch``): the machine's own packages stay as they
are. nextpnr itself is built there from Debian's source, with ``boards/pynq-z2/nextpnr.patch``: without it, no placement
of `Z7020` routes.

nextpnr's timing model of this family covers LUTs, flip-flops and RAMB18, but neither DSP48E1 nor the outputs of
RAMB36E1: its clock is that of the slowest path that it times.
"""

import argparse
import importlib.metadata
import json
import math
import os
import re
import shlex
import shutil
import statistics
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from .build import BITSTREAM, MANIFEST, NETLIST, REPORT, ROOT, Board, commit, make_manifest, report, sha256, write_whole
from .frames import Database, frames, text
from .spec.boards import PYNQ_Z2
from .spec.config import EngineConfig
from .spec.hwh import hwh
from .tools import BuildError, TimeLimitError, run_tool

PART, FABRIC, FAMILY = PYNQ_Z2.part, "xc7z020", "zynq7"
PACKAGES = ("yosys", "nextpnr-himbaechel-xilinx-chipdb", "prjxray", "prjxray-database")
SOURCE = "nextpnr"  # package whose source is built
BUILD_NEEDS = {"cmake": "cmake", "patch": "patch", "c++": "g++"}  # programs, and Debian's packages
BUILD_HEADERS = "libboost-all-dev libeigen3-dev pybind11-dev python3-dev"
SYNTHESIS, ROUTER, PACKER = "yosys", "nextpnr-himbaechel-xilinx", "xc7frames2bit"
OPTIMISER = "yosys-abc"  # started by Yosys
SOURCES = ("amaranth", "pythondata-cpu-picorv32", "ziglang")  # make what Yosys reads
HAND_OFF = "pumice.hwh"
UNTIMED = "slowest timed path; DSP48E1 and outputs of RAMB36E1 are not timed"
SUITE = "".join(
    f"{kind} [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian sid main\n"
    for kind in ("deb", "deb-src")
)
ARCHITECTURE = "x86_64-linux-gnu"
LOADER = "ld-linux-x86-64.so.2"
TOOLS = ROOT / ".cache" / "xc7"
MAX_LUT_INPUTS, XOR = 6, "0110"  # the latter is a LUT2's table
REGISTERS = {"FDRE", "FDSE", "FDCE", "FDPE"}
BLOCK_RAMS = {"RAMB18E1", "RAMB36E1"}
SITES = ROOT / "boards" / Board.PYNQ_Z2.value / "sites.py"
CHANGES = ROOT / "boards" / Board.PYNQ_Z2.value / "nextpnr.patch"


def changes_id() -> str:
    """What nextpnr's folder and version name CHANGES by."""
    return sha256(CHANGES.read_bytes())[:12]


@dataclass(frozen=True)
class Tools:
    """The unpacked packages in ``folder``, run through their own loader and libraries, and the nextpnr built there."""

    folder: Path

    @property
    def root(self) -> Path:
        """What stands in for ``/``."""
        return self.folder / "root"

    @property
    def share(self) -> Path:
        """Databases."""
        return self.root / "usr" / "share"

    def fetch(self) -> None:
        """Download the packages and all that they need, and unpack them; what apt and dpkg know stays as it is.

        Then build nextpnr, unless this form of it is there.
        """
        if not shutil.which("apt-get") or not shutil.which("dpkg"):
            raise BuildError("fetching the tools needs apt-get and dpkg: a Debian or a descendant")
        if missing := [package for program, package in BUILD_NEEDS.items() if not shutil.which(program)]:
            raise BuildError(f"building nextpnr needs {' '.join(missing)} {BUILD_HEADERS}: apt-get install them")
        debs = self.folder / "debs"
        for path in (self.folder / "lists" / "partial", debs / "partial", self.root):
            path.mkdir(parents=True, exist_ok=True)
        (self.folder / "sources.list").write_text(SUITE)
        (self.folder / "status").touch()  # nothing is installed: libraries come along, libc included
        settings = {
            "Dir::State::Lists": self.folder / "lists",
            "Dir::State::status": self.folder / "status",
            "Dir::Cache::Archives": debs,
            "Dir::Cache::pkgcache": "",
            "Dir::Cache::srcpkgcache": "",
            "Dir::Etc::SourceList": self.folder / "sources.list",
            "Dir::Etc::SourceParts": "/dev/null",
        }
        options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
        run_tool("apt-get", ["apt-get", *options, "update"])
        plan = run_tool("apt-get", ["apt-get", *options, "--simulate", "--no-install-recommends", "install", *PACKAGES])
        names = [line.split()[1] for line in plan.splitlines() if line.startswith("Inst ")]
        run_tool("apt-get", ["apt-get", *options, "download", *names], cwd=debs)
        for deb in sorted(debs.glob("*.deb")):
            run_tool("dpkg", ["dpkg", "-x", deb, self.root])
        self.adapt()
        if not self.router.exists():
            for older in self.folder.glob(f"{SOURCE}_*"):
                older.unlink()
            run_tool("apt-get", ["apt-get", *options, "source", "--download-only", SOURCE], cwd=self.folder)
            self.build_router()

    @property
    def router(self) -> Path:
        """The program of nextpnr with the present CHANGES."""
        return self.folder / f"{SOURCE}-{changes_id()}" / "build" / ROUTER

    def build_router(self) -> None:
        """Build nextpnr from its source in ``folder``; minutes. BuildError: CHANGES do not apply, or headers lack."""
        build = self.router.parent
        shutil.rmtree(build.parent, ignore_errors=True)
        build.mkdir(parents=True)
        (source,) = self.folder.glob(f"{SOURCE}_*.orig.tar.xz")
        run_tool("tar", ["tar", "-xf", source.resolve(), "--strip-components=1"], cwd=build.parent)
        run_tool("patch", ["patch", "-p1", "-i", CHANGES], cwd=build.parent)
        settings = {
            "CMAKE_BUILD_TYPE": "Release", "ARCH": "himbaechel", "HIMBAECHEL_UARCH": "xilinx", "HIMBAECHEL_SPLIT": "ON",
            "BUILD_PYTHON": "ON", "BUILD_GUI": "OFF", "BUILD_RUST": "OFF", "BUILD_TESTS": "OFF",
            "EXTERNAL_CHIPDB": "ON", "EXTERNAL_CHIPDB_ROOT": self.share.resolve() / "nextpnr",
            "HIMBAECHEL_PRJXRAY_DB": self.share.resolve() / "prjxray" / "database",
            "HIMBAECHEL_XILINX_DEVICES": "",  # no chip database: there is one
        }  # fmt: skip
        words = [f"-D{name}={value}" for name, value in settings.items()]
        try:
            run_tool("cmake", ["cmake", "-S", "..", *words], cwd=build)
        except BuildError as error:
            raise BuildError(f"building nextpnr needs {BUILD_HEADERS}: apt-get install them\n{error}") from error
        run_tool("cmake", ["cmake", "--build", ".", "--parallel", str(os.cpu_count()), "--target", ROUTER], cwd=build)

    def adapt(self) -> None:
        """Let Yosys find its data and ABC: it looks beside what the kernel runs, which is the loader."""
        shutil.copy(self._libraries / LOADER, self._programs / LOADER)
        apart = self._programs / f"{OPTIMISER}.bin"
        (self._programs / OPTIMISER).rename(apart)
        script = self._programs / OPTIMISER
        script.write_text(f'#!/bin/sh\nexec {shlex.join(map(str, self._loaded(apart)))} "$@"\n')
        script.chmod(0o755)

    def command(self, program: str, *arguments) -> list:
        """Command line of a program. BuildError: it is not there, or of an older fetch."""
        if program == ROUTER:
            if self.router.exists():
                return [self.router.resolve(), *arguments]
        elif (self._programs / program).exists() and (self._programs / LOADER).exists():
            return [*self._loaded(self._programs / program), *arguments]
        raise BuildError(f"{program} is not in {self.folder}: run python -m pumice.open_xc7 --fetch")

    @property
    def _programs(self) -> Path:
        return self.root / "usr" / "bin"

    @property
    def _libraries(self) -> Path:
        return self.root / "usr" / "lib" / ARCHITECTURE

    def _loaded(self, program: Path) -> list[Path | str]:
        return [self._programs / LOADER, "--library-path", self._libraries, program]

    def run(self, program: str, *arguments, cwd: Path, log: Path | None = None) -> str:
        """What a program says, as `run_tool`. BuildError: not there, or it fails; TimeLimitError: it takes too long."""
        return run_tool(program, self.command(program, *arguments), cwd=cwd, log=log)

    def versions(self) -> dict[str, str]:
        """Of the packages and of nextpnr, from the files that were fetched."""
        found = {}
        for package in PACKAGES:
            for deb in (self.folder / "debs").glob(f"{package}_*.deb"):
                found[package] = deb.name.split("_")[1].replace("%3a", ":")
        for source in self.folder.glob(f"{SOURCE}_*.orig.tar.xz"):
            version = source.name.split("_")[1].removesuffix(".orig.tar.xz")
            found[ROUTER] = f"{version}, {CHANGES.name} {changes_id()}"
        return found


def netlist_id(files: dict[str, str], tools: Tools) -> str:
    """Names what synthesis makes: the same for the same sources and tool."""
    made_by = [Path(__file__).read_text(), tools.versions().get(SYNTHESIS, "")]
    return sha256(json.dumps([files, made_by]).encode())[:12]


def route_id(tools: Tools, mhz: float) -> str:
    """Names, within that, what placing and routing make: the same for the same tools and clock."""
    made_by = [SITES.read_text(), tools.versions(), mhz]
    return sha256(json.dumps(made_by).encode())[:12]


def design(config: EngineConfig) -> dict[str, str]:
    """Everything that Yosys reads, by file name; the same for the same sources."""
    try:
        from amaranth.back import rtlil  # pyright: ignore[reportAttributeAccessIssue]
        from pumice_hdl.boards.pynq_z2 import PynqZ2
        from pumice_hdl.system.soft_core import verilog_source
        from pumice_sim.firmware import build_firmware
    except ImportError as error:
        raise BuildError(f"building needs more packages ({error}): pip install 'pumice[sim]'") from error
    board = PynqZ2(config, build_firmware(config.cpu_ram_bytes))
    return {
        "top.il": rtlil.convert(board, name="top", emit_src=False),
        "soft_core.v": verilog_source().read_text(),
    }


def synthesise(tools: Tools, files: dict[str, str], work: Path) -> None:
    """Write ``files`` and NETLIST, mapped, into ``work``."""
    for name, content in files.items():
        (work / name).write_text(content)
    # Yosys joins equal registers, unless they are in modules of their own.
    own = re.findall(r"^module \\(\S+\.own_\w+)$", files["top.il"], re.MULTILINE)
    apart = f"setattr -mod -set keep_hierarchy 1 {' '.join(own)}; " if own else ""
    script = (
        f"read_rtlil top.il; read_verilog soft_core.v; {apart}synth_xilinx -flatten -family xc7 -top top; "
        "setattr -mod -unset keep_hierarchy *; flatten; opt_clean -purge; write_json mapped.json"
    )
    tools.run(SYNTHESIS, "-q", "-p", script, cwd=work)
    netlist = json.loads((work / "mapped.json").read_text())
    join_memories(netlist["modules"]["top"])
    free_summands(netlist["modules"]["top"])
    insert_hold_buffers(netlist["modules"]["top"])
    write_whole(work / NETLIST, json.dumps(netlist))


def join_memories(module: dict) -> None:
    """Make a RAM64M, a whole slice, of each four RAM64X1S with the same address and write enable.

    Yosys makes single bits of a memory that is written where it is read; nextpnr 0.11.1 ends in an assertion over them.

    Parameters
    ----------
    module : dict
        Flattened, as in Yosys' JSON; those cells are replaced.
    """
    cells = module["cells"]
    groups = defaultdict(list)
    for name, cell in cells.items():
        if cell["type"] == "RAM64X1S":
            wires = cell["connections"]
            address = [wires[f"A{i}"][0] for i in range(6)]
            groups[(*address, wires["WE"][0], wires["WCLK"][0])].append(name)
    for (*address, enable, clock), names in groups.items():
        for first in range(0, len(names), 4):
            joined = {"type": "RAM64M", "attributes": {}, "parameters": {}}
            wires = {"WE": [enable], "WCLK": [clock], **{f"ADDR{letter}": address for letter in "ABCD"}}
            for letter, name in zip("ABCD", names[first : first + 4], strict=False):
                cell = cells.pop(name)
                joined["parameters"][f"INIT_{letter}"] = cell["parameters"]["INIT"]
                wires |= {f"DI{letter}": cell["connections"]["D"], f"DO{letter}": cell["connections"]["O"]}
            joined["connections"] = wires
            joined["port_directions"] = {pin: "output" if pin.startswith("DO") else "input" for pin in wires}
            cells[names[first]] = joined


def free_summands(module: dict) -> None:
    """Save the LUT of a summand that goes to a carry chain beside its sum with a register.

    A bit of a carry chain takes the sum of two summands, and either of them. Yosys gives it the first; where that is
    computed, and the second a register's, the second saves the first one's LUT: the sum's computes it.

    Parameters
    ----------
    module : dict
        Flattened, as in Yosys' JSON; LUTs are removed, and others given more inputs.
    """
    cells = module["cells"]
    luts = {cell["connections"]["O"][0]: name for name, cell in cells.items() if cell["type"].startswith("LUT")}
    n_ends = Counter(bit for cell in cells.values() for bits in cell["connections"].values() for bit in bits)
    for cell in [cell for cell in cells.values() if cell["type"] == "CARRY4"]:
        wires = cell["connections"]
        for i, (first, both) in enumerate(zip(wires["DI"], wires["S"], strict=True)):
            if first not in luts or both not in luts or n_ends[first] != 3:  # its LUT, the chain and the sum
                continue
            one, total = cells[luts[first]], cells[luts[both]]
            n_inputs = int(one["type"][3:])
            summands = [total["connections"][f"I{j}"][0] for j in range(int(total["type"][3:]))]
            if total["parameters"]["INIT"] != XOR or first not in summands or n_inputs == MAX_LUT_INPUTS:
                continue
            summands.remove(first)
            (second,) = summands
            if second in luts:
                continue
            wires["DI"][i] = second
            inputs = [one["connections"][f"I{j}"] for j in range(n_inputs)]
            table = one["parameters"]["INIT"]
            total["type"] = f"LUT{n_inputs + 1}"
            total["parameters"]["INIT"] = table.translate(str.maketrans("01", "10")) + table
            pins = {f"I{j}": bits for j, bits in enumerate([*inputs, [second]])}
            total["connections"] = {**pins, "O": [both]}
            total["port_directions"] = {**dict.fromkeys(pins, "input"), "O": "output"}
            del cells[luts[first]]


def insert_hold_buffers(module: dict) -> None:
    """Put a LUT between each flip-flop and the data inputs of block RAMs that it drives.

    These inputs want 0.67 ns of hold time, and nextpnr places flip-flops in the column beside them, 0.6 ns away. It
    looks at hold times when all is routed, and mends none.

    Parameters
    ----------
    module : dict
        Flattened, as in Yosys' JSON; cells are added, and inputs moved to them.
    """
    cells = module["cells"]
    registers = {cell["connections"]["Q"][0] for cell in cells.values() if cell["type"] in REGISTERS}
    n_bits = 1 + max(
        bit for cell in cells.values() for bits in cell["connections"].values() for bit in bits if isinstance(bit, int)
    )
    later = {}
    for cell in cells.values():
        if cell["type"] in BLOCK_RAMS:
            for port, bits in cell["connections"].items():
                if port.startswith("DI"):
                    for bit in registers.intersection(bits) - later.keys():
                        later[bit] = n_bits + len(later)
                    cell["connections"][port] = [later.get(bit, bit) for bit in bits]
    for bit, delayed in later.items():
        cells[f"hold_{bit}"] = {
            "hide_name": 0,
            "type": "LUT1",
            "parameters": {"INIT": "10"},
            "attributes": {},
            "port_directions": {"I0": "input", "O": "output"},
            "connections": {"I0": [bit], "O": [delayed]},
        }


def route(tools: Tools, work: Path, seed: int, mhz: float) -> dict:
    """Place and route.

    Parameters
    ----------
    work : Path
        Gets what is made; the folder above it has NETLIST.
    seed : int
        Of the placer.
    mhz : float
        Asked for: wires of paths that miss it are taken up again, for some rounds.

    Returns
    -------
    routed : dict
        ``seed``, ``mhz`` of the slowest timed path, ``hold_violations``, ``utilisation``.
        Writes ``<seed>.fasm`` and what nextpnr says: ``<seed>.log``, and from utilisation on ``<seed>.txt``.

    Raises
    ------
    BuildError
    """
    chip = tools.share / "nextpnr" / "himbaechel" / "xilinx" / f"chipdb-{FABRIC}.bin"
    arguments = (
        "--device", PART, "--chipdb", chip, "--json", f"../{NETLIST}", "--freq", str(mhz), "--seed", str(seed),
        "--pre-place", SITES, "--placer", "static", "--tmg-ripup", "--timing-allow-fail", "--report", f"{seed}.json",
        "-o", f"fasm={seed}.fasm",
    )  # fmt: skip
    said = tools.run(ROUTER, *arguments, cwd=work, log=work / f"{seed}.log")
    kept = report(said, f"{ROUTER}, post-route; {UNTIMED}")
    (work / f"{seed}.txt").write_text(kept)
    violations = re.search(r"^(\d+) Hold/min time violations", kept, re.MULTILINE)
    found = json.loads((work / f"{seed}.json").read_text())
    return {
        "seed": seed,
        "mhz": min(clock["achieved"] for clock in found["fmax"].values()),
        "hold_violations": int(violations[1]) if violations else 0,
        "utilisation": {name: use for name, use in found["utilization"].items() if use["used"]},
    }


def pack(tools: Tools, fasm: Path, bitstream: Path) -> None:
    """Bitstream out of FASM. FrameError: the database lacks something that the design uses."""
    family = tools.share / "prjxray" / "database" / FAMILY
    required = (family / PART / "required_features.fasm").read_text().splitlines()
    found = frames([*required, *fasm.read_text().splitlines()], Database(family, FABRIC))
    packed = fasm.with_suffix(".frames")
    packed.write_text(text(found))
    # The bitstream names the file of frames: without its folder.
    tools.run(
        PACKER, "--part_file", family / PART / "part.yaml", "--part_name", PART,
        "--frm_file", packed.name, "--output_file", bitstream.resolve(), cwd=fasm.parent,
    )  # fmt: skip


def build_pynq_z2(config: EngineConfig, folder: Path, tools: Tools, work: Path, *, seeds: range = range(1, 5)) -> dict:
    """Build a bitstream and its hand-off.

    Parameters
    ----------
    config : EngineConfig
        Its clock is asked for.
    folder : Path
        Gets BITSTREAM, HAND_OFF, MANIFEST and REPORT of the fastest placement that keeps hold times, none of them
        unless all is well. The hand-off has the fastest clock that the processor makes and the slowest timed path
        allows.
    work : Path
        Keeps what the tools write, by `netlist_id` and `route_id`: what is there is not made again.
    seeds : range
        Of the placer, as many at a time as there are processors.

    Returns
    -------
    manifest : dict
        What MANIFEST holds. ``mhz_by_seed``: 0 for what did not route in time; ``median_mhz``: over all of them.

    Raises
    ------
    BuildError
        A tool fails, or no placement keeps hold times.
    FrameError
    """
    at = commit()  # the tree may move on while the tools work
    files = design(config)
    mapped = work / netlist_id(files, tools)
    work = mapped / route_id(tools, config.clock_mhz)
    work.mkdir(parents=True, exist_ok=True)
    if not (mapped / NETLIST).exists():
        synthesise(tools, files, mapped)

    def attempt(seed: int) -> dict:
        found = work / f"{seed}.result.json"
        if found.exists():
            return json.loads(found.read_text())
        try:
            result = route(tools, work, seed, config.clock_mhz)
        except TimeLimitError:  # tried again by the next build
            return {"seed": seed, "mhz": 0.0}
        write_whole(found, json.dumps(result))
        return result

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        routed = list(pool.map(attempt, seeds))
    sound = [result for result in routed if result["mhz"] and not result["hold_violations"]]
    if not sound:
        tried = ", ".join(str(seed) for seed in seeds)
        raise BuildError(
            f"paths are too short for their hold times in each placement, or it did not route (seeds {tried}): "
            "try another seed"
        )
    best = max(sound, key=lambda result: result["mhz"])
    pack(tools, work / f"{best['seed']}.fasm", work / BITSTREAM)

    clock = PYNQ_Z2.processor.reference_mhz * PYNQ_Z2.processor.pll_multiplier
    board = replace(PYNQ_Z2, divisors=(math.ceil(clock / best["mhz"]), 1))
    hand_off = hwh(config, board)
    manifest = make_manifest(
        Board.PYNQ_Z2, PART, config, files, (work / BITSTREAM).read_bytes(), commit=at,
        tools={package: importlib.metadata.version(package) for package in SOURCES} | tools.versions(),
        seed=best["seed"], clock_mhz=round(board.clock_mhz, 2), clock_mhz_post_route=round(best["mhz"], 2),
        utilisation=best["utilisation"], clock_says=UNTIMED,
        mhz_by_seed={result["seed"]: round(result["mhz"], 2) for result in routed},
        median_mhz=round(statistics.median(result["mhz"] for result in routed), 2),
        hand_off_sha256=sha256(hand_off.encode()),
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(work / BITSTREAM, folder / BITSTREAM)
    (folder / HAND_OFF).write_text(hand_off)
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
    shutil.copy(work / f"{best['seed']}.txt", folder / REPORT)
    return manifest


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m pumice.open_xc7", description="The tools of the open flow.")
    parser.add_argument("--fetch", action="store_true", required=True, help="fetch them")
    parser.add_argument("--tools", type=Path, default=TOOLS, help="folder to unpack them into")
    Tools(parser.parse_args().tools.resolve()).fetch()


if __name__ == "__main__":
    main()
