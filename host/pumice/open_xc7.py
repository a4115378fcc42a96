"""Place and route an engine for the PYNQ-Z2's XC7Z020 with open tools: ``python -m pumice.open_xc7 --config TINY``.

Yosys comes from PyPI; nextpnr, its chip database and Project X-Ray come out of Debian's newest suite, fetched with an
apt configuration of their own and unpacked into a folder (``--fetch``): the machine's own packages stay as they are.

nextpnr's timing model of this family covers LUTs, flip-flops and RAMB18, but neither DSP48E1 nor the outputs of
RAMB36E1: its clock is that of the slowest path that it times.
"""

import argparse
import json
import shutil
import statistics
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .build import ROOT
from .frames import Database, frames, text
from .spec.config import CONFIGS, EngineConfig
from .tools import YOSYS, BuildError, wasm

PART, FABRIC, FAMILY = "xc7z020clg400-1", "xc7z020", "zynq7"
PACKAGES = ("nextpnr-himbaechel-xilinx", "nextpnr-himbaechel-xilinx-chipdb", "prjxray", "prjxray-database")
SUITE = "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian sid main\n"
ARCHITECTURE = "x86_64-linux-gnu"
LOADER = "ld-linux-x86-64.so.2"
AIM_MHZ = 120.0
LIMIT_S = 7200


@dataclass(frozen=True)
class Tools:
    """The unpacked packages in ``folder``, run through their own loader and libraries."""

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
        """Download the packages and all that they need, and unpack them; what apt and dpkg know stays as it is."""
        if not shutil.which("apt-get") or not shutil.which("dpkg"):
            raise BuildError("fetching the tools needs apt-get and dpkg: a Debian or a descendant")
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
        _run(["apt-get", *options, "update"])
        plan = _run(["apt-get", *options, "--simulate", "--no-install-recommends", "install", *PACKAGES])
        names = [line.split()[1] for line in plan.splitlines() if line.startswith("Inst ")]
        _run(["apt-get", *options, "download", *names], cwd=debs)
        for deb in sorted(debs.glob("*.deb")):
            _run(["dpkg", "-x", deb, self.root])

    def run(self, program: str, *arguments, cwd: Path) -> str:
        """What a program says. BuildError: it is not there, or it failed."""
        libraries = self.root / "usr" / "lib" / ARCHITECTURE
        if not (self.root / "usr" / "bin" / program).exists():
            raise BuildError(f"{program} is not in {self.folder}: run python -m pumice.open_xc7 --fetch")
        command = [libraries / LOADER, "--library-path", libraries, self.root / "usr" / "bin" / program, *arguments]
        return _run(["env", f"PYTHONHOME={self.root / 'usr'}", "nice", "-n5", *command], cwd=cwd)

    def versions(self) -> dict[str, str]:
        """Of the packages, from the files that were fetched."""
        found = {}
        for package in PACKAGES:
            for deb in (self.folder / "debs").glob(f"{package}_*.deb"):
                found[package] = deb.name.split("_")[1].replace("%3a", ":")
        return found


def synthesise(config: EngineConfig, work: Path) -> None:
    """Write ``top.json``, the mapped netlist, into ``work``."""
    from amaranth.back import rtlil  # pyright: ignore[reportAttributeAccessIssue]
    from pumice_hdl.boards.pynq_z2 import PynqZ2
    from pumice_hdl.system.soft_core import verilog_source
    from pumice_sim.firmware import build_firmware

    top = rtlil.convert(PynqZ2(config, build_firmware(config.cpu_ram_bytes)), name="top", emit_src=False)
    (work / "top.il").write_text(top)
    (work / "soft_core.v").write_text(verilog_source().read_text())
    script = "read_rtlil top.il; read_verilog soft_core.v; synth_xilinx -flatten -family xc7 -top top"
    _run(["nice", "-n5", *wasm(YOSYS, "-q", "-p", f"{script}; write_json top.json")], cwd=work)


def route(tools: Tools, work: Path, seed: int) -> dict:
    """Place and route with a seed: ``mhz`` of the slowest timed path, ``utilisation``; writes ``<seed>.fasm``."""
    chip = tools.share / "nextpnr" / "himbaechel" / "xilinx" / f"chipdb-{FABRIC}.bin"
    tools.run(
        PACKAGES[0], "--device", PART, "--chipdb", chip, "--json", "top.json", "--freq", str(AIM_MHZ),
        "--seed", str(seed), "--timing-allow-fail", "--report", f"{seed}.json", "-o", f"fasm={seed}.fasm", cwd=work,
    )  # fmt: skip
    report = json.loads((work / f"{seed}.json").read_text())
    return {
        "seed": seed,
        "mhz": min(clock["achieved"] for clock in report["fmax"].values()),
        "utilisation": {name: use for name, use in report["utilization"].items() if use["used"]},
    }


def pack(tools: Tools, fasm: Path, bitstream: Path) -> None:
    """Bitstream out of FASM. FrameError: the database lacks something that the design uses."""
    family = tools.share / "prjxray" / "database" / FAMILY
    required = (family / PART / "required_features.fasm").read_text().splitlines()
    found = frames([*required, *fasm.read_text().splitlines()], Database(family, FABRIC))
    packed = fasm.with_suffix(".frames")
    packed.write_text(text(found))
    tools.run(
        "xc7frames2bit", "--part_file", family / PART / "part.yaml", "--part_name", PART,
        "--frm_file", packed.resolve(), "--output_file", bitstream.resolve(), cwd=fasm.parent,
    )  # fmt: skip


def _run(command: list, cwd: Path | None = None) -> str:
    words = [str(word) for word in command]
    run = subprocess.run(
        words, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=LIMIT_S
    )
    if run.returncode:
        raise BuildError(f"{' '.join(words[:2])} ... failed:\n" + "\n".join(run.stdout.splitlines()[-30:]))
    return run.stdout


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m pumice.open_xc7", description=__doc__)
    parser.add_argument("--config", choices=CONFIGS, default="Z7020")
    parser.add_argument(
        "--seeds", type=int, default=4, help="how many placements; the median of their clocks is printed"
    )
    parser.add_argument("--tools", type=Path, default=ROOT / ".cache" / "xc7", help="folder of the unpacked tools")
    parser.add_argument("--fetch", action="store_true", help="fetch the tools first")
    parser.add_argument("--output", type=Path, default=ROOT / ".cache" / "pynq-z2", help="folder")
    options = parser.parse_args()
    tools = Tools(options.tools.resolve())
    if options.fetch:
        tools.fetch()
    options.output.mkdir(parents=True, exist_ok=True)
    synthesise(CONFIGS[options.config], options.output)
    routed = [route(tools, options.output, seed) for seed in range(1, options.seeds + 1)]
    best = max(routed, key=lambda result: result["mhz"])
    summary = {
        "board": "pynq-z2", "part": PART, "kind": "post-route", "config": options.config, "seeds": routed,
        "median_mhz": statistics.median(result["mhz"] for result in routed), "tools": tools.versions(),
        "clock_says": "slowest timed path; DSP48E1 and outputs of RAMB36E1 are not timed",
    }  # fmt: skip
    (options.output / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    print(f"{options.config}: {summary['median_mhz']:.1f} MHz, median of {options.seeds}; {summary['clock_says']}")
    pack(tools, options.output / f"{best['seed']}.fasm", options.output / "pumice.bit")


if __name__ == "__main__":
    main()
