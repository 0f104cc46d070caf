"""The layouts that `tocsin rules replay --set` knows by name: one adapter each."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rules_engine.recorded import air_sets, fire_sets, machine_sets
from rules_engine.recorded.experiment import Recording

if TYPE_CHECKING:
    from rules_engine.recorded.folder import Folder

SETS: dict[str, Callable[[Folder], Recording]] = {
    adapter.__name__: adapter for adapter in (
        fire_sets.nist_smoke_alarms, fire_sets.fsri_compartments, fire_sets.fsri_hvac_gasburner,
        fire_sets.fsri_residential_gasburner, machine_sets.fsri_liion_runaway, machine_sets.cms_methane,
        machine_sets.chilbolton_methane, machine_sets.skab_water_loop, machine_sets.nab_temperature,
        air_sets.beijing_pm25, air_sets.noise_laeq, air_sets.uci_air_quality, air_sets.iot_smoke_detection,
        air_sets.mq_gas_array, air_sets.water_flow_river, air_sets.groundwater_river_level)
}
