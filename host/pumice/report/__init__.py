"""What a run tells: figures of each layer and of the network, as JSON and (`pumice.report.tables`) for a terminal."""

from .layers import STALLS, LayerReport, layer_reports, share
from .result import Result, run_report

__all__ = ["STALLS", "LayerReport", "Result", "layer_reports", "run_report", "share"]
