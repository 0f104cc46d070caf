"""Water and wires of the simulated world: nothing is lost, pressure falls with flow, valves take their time."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_sim.actuator import Actuator
from firmware_sim.circuit import Circuit
from firmware_sim.pipe import Pipe
from firmware_sim.surroundings import Surroundings
from firmware_sim.tank import River, Tank
from firmware_sim.world_plan import (
    ActuatorPlan,
    CircuitPlan,
    PipePlan,
    PowerLoss,
    RiverPlan,
    RoomPlan,
    SourceKind,
    SourcePlan,
    TankPlan,
    WorldPlan,
)

flows = st.floats(0, 100)


@given(inflow=flows, outflow=flows, level=st.floats(0, 2), area=st.floats(0.1, 50), overflow=st.floats(0, 2),
       step_s=st.sampled_from([0.05, 0.25, 2.0]))
@settings(deadline=None)
def test_a_tank_keeps_every_litre(
    inflow: float, outflow: float, level: float, area: float, overflow: float, step_s: float
) -> None:
    tank = Tank(TankPlan("t", area, 2.0, min(level, overflow or 2.0), inflow, outflow, overflow))
    first = tank.litres
    for _ in range(200):
        tank.step(step_s)
        assert 0.0 <= tank.level_m <= (overflow or 2.0) + 1e-9
    assert tank.litres == pytest.approx(first + tank.in_l - tank.out_l - tank.spilled_l, abs=1e-6 * (1 + tank.in_l))


def test_a_float_stops_the_fill_and_a_valve_the_overflow() -> None:
    tank = Tank(TankPlan("t", 1.0, 2.0, 1.0, inflow_l_per_s=10.0, float_m=1.5))
    for _ in range(1000):
        tank.step(0.25)
    assert tank.level_m == pytest.approx(1.5, abs=0.01) and tank.spilled_l == 0.0
    world = Surroundings(WorldPlan(
        rooms=(RoomPlan("cellar", 10.0),), actuators=(ActuatorPlan("fill", travel_s=4.0),),
        tanks=(TankPlan("roof", 1.0, 2.0, 1.99, inflow_l_per_s=2.0, valve="fill", spills_into="cellar"),)))
    for number in range(1, 81):
        world.step(number * 0.25, 0.25)
    assert world.read("cellar.water") == pytest.approx((2.0 * 20 - 10) / 10.0, rel=0.01)
    assert world.read("cellar.wet") == 1.0
    world.turn("fill.open", 0.0)
    wet = []
    for number in range(81, 161):
        world.step(number * 0.25, 0.25)
        wet.append(world.read("cellar.water"))
    assert wet[-1] == wet[20] and world.read("roof.spill") == 0.0 and world.read("fill.closed") == 1.0


@given(holes=st.lists(st.floats(0, 200), min_size=2, max_size=5), pressure=st.floats(50, 1000),
       capacity=st.floats(1, 100))
def test_more_draw_means_less_pressure_and_more_flow(holes: list[float], pressure: float, capacity: float) -> None:
    before = (math.inf, -1.0)
    for hole in sorted(holes):
        pipe = Pipe(PipePlan("p", pressure, capacity))
        for _ in range(100):
            pipe.hole_l_per_s = hole
            pipe.step(0.25)
        assert 0.0 <= pipe.kpa <= pressure + 1e-6
        assert pipe.kpa <= before[0] + 1e-6 and pipe.flow_l_per_s >= before[1] - 1e-6
        assert pipe.flow_l_per_s <= capacity + 1e-6  # the feed cannot give more than it has
        # The feed loses pressure with the square of its flow.
        assert pipe.kpa == pytest.approx(pressure * (1 - (pipe.flow_l_per_s / capacity) ** 2), abs=0.02 * pressure)
        before = (pipe.kpa, pipe.flow_l_per_s)


def test_a_burst_floods_until_the_valve_shuts_and_the_pump_helps_a_hydrant() -> None:
    world = Surroundings(WorldPlan(
        rooms=(RoomPlan("garage", 100.0, drain_l_per_s=0.5),),
        actuators=(ActuatorPlan("stop"), ActuatorPlan("booster", open=False)),
        pipes=(PipePlan("main", 350.0, 20.0, valve="stop", pump="booster", pump_kpa=200.0),),
        sources=(SourcePlan("hole", SourceKind.BURST, "main", start_s=10, l_per_s=15.0, into="garage"),)))
    for number in range(1, 401):
        world.step(number * 0.25, 0.25)
    assert world.read("main.pressure") < 300.0 and world.read("garage.water") > 5.0
    world.turn("stop.open", False)
    for number in range(401, 441):
        world.step(number * 0.25, 0.25)
    lost = world.read("main.lost")
    assert lost < 0.5 and world.read("main.flow") == 0.0
    world.turn("stop.open", True)
    world.turn("hole.on", False)
    world.turn("main.hydrant", 15.0)
    for number in range(441, 481):
        world.step(number * 0.25, 0.25)
    weak = world.read("main.pressure")
    world.turn("booster.open", True)
    for number in range(481, 521):
        world.step(number * 0.25, 0.25)
    assert world.read("main.pressure") > weak + 50.0


def test_a_river_forgets_with_its_own_time() -> None:
    river = River(RiverPlan("r", 1000.0, 2.0, 0.5))
    for _ in range(4000):
        river.load_g_s = 4.0
        river.step(0.25)
    assert river.mg_per_l == pytest.approx(0.5 + 2.0 * (1 - math.exp(-2.0)), rel=1e-3)


def test_a_circuit_follows_mains_and_switch() -> None:
    circuit = Circuit(CircuitPlan("c", amps=2.0, leakage_ma=10.0))
    circuit.load_a = 3.0
    circuit.step(3600.0)
    assert (circuit.current_a, circuit.power_w, circuit.residual_ma) == (5.0, 1150.0, 10.0)
    assert circuit.energy_kwh == pytest.approx(1.15)
    circuit.fed = False
    circuit.step(1.0)
    assert (circuit.voltage_v, circuit.current_a, circuit.residual_ma) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(("loss", "ends"), [(PowerLoss.STAYS, 1.0), (PowerLoss.CLOSES, 0.0), (PowerLoss.OPENS, 1.0)])
def test_an_actuator_travels_jams_and_does_what_its_kind_does_without_power(loss: PowerLoss, ends: float) -> None:
    valve = Actuator(ActuatorPlan("v", "d.p", opens_when=False, travel_s=2.0, on_power_loss=loss), first=False)
    assert valve.opened
    valve.command(True)
    valve.step(1.0)
    assert valve.position == 0.5 and not valve.opened and not valve.closed
    valve.jammed = True
    valve.step(5.0)
    assert valve.position == 0.5
    valve.jammed = False
    valve.step(1.0)
    assert valve.closed
    valve.command(False)
    valve.step(9.0)
    valve.command(None)
    valve.step(9.0)
    assert valve.position == ends
