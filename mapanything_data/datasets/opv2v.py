"""OPV2V as samples of views: of one vehicle at one or several times, or of several vehicles at one time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mapanything_data.config import component
from mapanything_data.datasets.opv2v_frames import LeftOut, Scene, complete_frames
from mapanything_data.datasets.opv2v_options import OnBrokenSample, ViewOptions
from mapanything_data.datasets.opv2v_reader import Choice, Frames, read_views
from mapanything_data.datasets.samples import BrokenSample, SampleError, SampleRequest, sample_generators
from mapanything_data.datasets.views import ViewDict
from mapanything_data.errors import DataError, require, require_option


@component("dataset", "opv2v_ft")
@dataclass(kw_only=True, slots=True)
class OPV2VFinetune(ViewOptions):
    """Views of one vehicle of OPV2V, for training: its cameras at one or several times."""

    time_steps: int = 1
    """Frames of the vehicle that a sample takes views from."""
    time_stride: int = 1
    """How many recorded frames lie from one of them to the next; one is 0.1 s."""

    def __post_init__(self) -> None:
        """Refuse what cannot give a sample, and options that would do nothing."""
        ViewOptions.__post_init__(self)
        steps, stride, cameras = self.time_steps, self.time_stride, len(self.camera_ids)
        require_option("dataset.time_steps", steps, steps >= 1, "1 or more")
        spaced = stride >= 1 and (stride == 1 or steps > 1)
        require_option("dataset.time_stride", stride, spaced, "1 or more, and 1 with time_steps=1")
        fewest, most = cameras * (steps - 1) + 1, cameras * steps
        require_option(
            "dataset.num_views",
            self.num_views,
            fewest <= self.num_views <= most,
            f"{fewest} to {most}: views of {cameras} cameras at {steps} times, one of the last time or more",
            remedy="give another, or change dataset.camera_ids or dataset.time_steps",
        )

    def train_dataset(self) -> OPV2VDataset:
        """The samples to train on."""
        return OPV2VDataset(self, self.train_split, train=True)

    def test_dataset(self) -> OPV2VDataset:
        """The samples to test on: the same in every epoch, colours unchanged, crops around the principal point."""
        return OPV2VDataset(self, self.test_split, train=False)


@component("dataset", "opv2v_coop_ft")
@dataclass(kw_only=True, slots=True)
class OPV2VCoopFinetune(ViewOptions):
    """Views of several vehicles of OPV2V at one time, for training."""

    num_views: int = 10
    """Views of a test sample where there are so many; of every sample where the count is not variable, and then frames
    with fewer are left out."""
    coop_min_agents: int = 2
    """Frames with complete files of fewer agents are left out."""
    coop_min_num_views: int = 4
    """Where the count is variable, frames with fewer views are left out, and no sample has fewer."""
    coop_max_num_views: int | None = 10
    """Where the count is variable, most views of a sample; null for no limit."""
    allow_variable_view_count: bool = True
    """Whether training samples have from coop_min_num_views to coop_max_num_views views, or all exactly num_views."""
    main_agent: int | None = None
    """Id of the ego vehicle; scenes without it are left out. Null takes the lowest id of each scene."""

    def __post_init__(self) -> None:
        """Refuse what cannot give a sample, and options that contradict each other."""
        ViewOptions.__post_init__(self)
        fewest, most, main = self.coop_min_num_views, self.coop_max_num_views, self.main_agent
        require_option("dataset.coop_min_agents", self.coop_min_agents, self.coop_min_agents >= 1, "1 or more")
        require_option("dataset.main_agent", main, main is None or main >= 0, "a vehicle's id, 0 or more, or null")
        require_option("dataset.coop_min_num_views", fewest, fewest >= 1, "1 or more")
        if self.allow_variable_view_count:
            expected = f"coop_min_num_views={fewest} or more"
            sound = most is None or most >= fewest
            require_option("dataset.coop_max_num_views", most, sound, f"{expected}, or null")
            require_option("dataset.num_views", self.num_views, self.num_views >= fewest, expected)

    @property
    def fewest_views(self) -> int:
        """Views without which a frame is left out."""
        return self.coop_min_num_views if self.allow_variable_view_count else self.num_views

    def train_dataset(self) -> OPV2VCoopDataset:
        """The samples to train on."""
        return OPV2VCoopDataset(self, self.train_split, train=True)

    def test_dataset(self) -> OPV2VCoopDataset:
        """The samples to test on: the same in every epoch, colours unchanged, crops around the principal point."""
        return OPV2VCoopDataset(self, self.test_split, train=False)


class _Samples(ABC):
    """A map-style data set of torch.

    It does not inherit from torch.utils.data.Dataset: this module is imported when any app starts, torch takes seconds,
    and a DataLoader asks for no more than `__len__` and `__getitem__`.
    """

    def __init__(self, options: ViewOptions, split: str, samples: list[Frames], left_out: LeftOut, train: bool) -> None:
        require("torch", "cv2")
        self.options = options
        self.split = split
        self.left_out = left_out
        self._samples = samples
        self._train = train
        self._epoch = 0
        if not samples:
            raise DataError(
                options.folder / split,
                "\n  ".join(["gives no sample", *left_out.lines()]),
                remedy="complete the data, or loosen the options that leave frames out",
            )

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, request: int | SampleRequest) -> list[ViewDict] | BrokenSample:
        """The views of a sample, view 0 the ego's reference camera.

        Raises:
            IndexError: There is no such sample.
            ValueError: More or fewer views are asked for than the sample may have.
            SampleError: A file cannot be read, with `on_broken_sample=error`; with skip, a `BrokenSample` comes back.
        """
        request = request if isinstance(request, SampleRequest) else SampleRequest(request)
        index = request.index
        if not 0 <= index < len(self):
            raise IndexError(f"there is no sample {index}, only 0 to {len(self) - 1}")
        epoch = self._epoch if request.epoch is None else request.epoch
        choices, pixels = sample_generators(self.options.seed, epoch, index)
        order = self._order(len(self._samples[index]), choices)
        count = request.num_views
        if count is None:
            count = int(choices.integers(*self.drawn_views(index), endpoint=True))
        fewest, most = self.view_limits(index)
        if not fewest <= count <= most:
            raise ValueError(f"{count} views asked for of sample {index}, which has {fewest} to {most}")
        try:
            views = read_views(
                self.options,
                self._samples[index],
                order[:count],
                request.resolution or self.options.resolution,
                pixels if self._train else None,
            )
        except DataError as error:
            if self.options.on_broken_sample is OnBrokenSample.skip:
                return BrokenSample(index, str(error))
            raise SampleError(f"{error}, or set dataset.on_broken_sample=skip") from error
        return [view | {"idx": index} for view in views]

    def set_epoch(self, epoch: int) -> None:
        """Choose the random numbers of an epoch.

        Workers hear of it when they start: with `persistent_workers=True`, put the epoch into each `SampleRequest`.
        """
        self._epoch = epoch

    def available_views(self, index: int) -> int:
        """The most views that a request may ask of a sample; no file is opened for it."""
        return self.view_limits(index)[1]

    def view_counts(self) -> NDArray[np.int64]:
        """`available_views` of all samples, [N]."""
        return np.array([self.available_views(index) for index in range(len(self))], np.int64)

    def frames(self, index: int) -> Frames:
        """The frames that a sample takes its views from."""
        return self._samples[index]

    def summary(self) -> str:
        """What there is and what was left out and why, a few lines."""
        scenes = len({sample[0].scenario for sample in self._samples})
        first = f"{self.split}: {len(self)} samples of {scenes} scenes in {self.options.folder}"
        return "\n  ".join([first, *self.left_out.lines()])

    @abstractmethod
    def view_limits(self, index: int) -> tuple[int, int]:
        """Fewest and most views that a request may ask of a sample."""

    @abstractmethod
    def drawn_views(self, index: int) -> tuple[int, int]:
        """Fewest and most views that a sample has when a request leaves their number open; no file is opened for it."""

    @abstractmethod
    def _order(self, frames: int, rng: np.random.Generator) -> list[Choice]:
        """All views that there are, in the order in which they are taken."""

    def _cameras(self, rng: np.random.Generator, *, reference_first: bool) -> list[int]:
        """The cameras, in training in random order: a sample of few views would otherwise never show the last."""
        cameras = self.options.cameras_reference_first
        if not self._train:
            return cameras
        fixed = 1 if reference_first else 0
        return cameras[:fixed] + [int(number) for number in rng.permutation(cameras[fixed:])]


class OPV2VDataset(_Samples):
    """Samples of one vehicle: its cameras at one or several times; a sample for each of its frames.

    All cameras of the sample's own frame come before those of the next one, and no view comes twice.
    """

    options: OPV2VFinetune

    def __init__(self, options: OPV2VFinetune, split: str, *, train: bool) -> None:
        scenes, left_out = complete_frames(options, split)
        samples = [sample for scene in scenes for sample in _samples_in_time(scene, options, left_out)]
        super().__init__(options, split, samples, left_out, train)

    def view_limits(self, index: int) -> tuple[int, int]:
        """From one to all cameras at all times."""
        return 1, len(self._samples[index]) * len(self.options.camera_ids)

    def drawn_views(self, index: int) -> tuple[int, int]:  # noqa: ARG002 - it is the same for all
        """`num_views` twice."""
        return self.options.num_views, self.options.num_views

    def _order(self, frames: int, rng: np.random.Generator) -> list[Choice]:
        return [Choice(frame, camera) for frame in range(frames) for camera in self._cameras(rng, reference_first=True)]


class OPV2VCoopDataset(_Samples):
    """Samples of several agents at one time; a sample for each frame of a scene.

    The ego's reference camera is view 0. Then each other agent gives a view before any gives its second: cameras of one
    rig hardly overlap, so what ties a sample together is what two agents see of the same place.
    """

    options: OPV2VCoopFinetune

    def __init__(self, options: OPV2VCoopFinetune, split: str, *, train: bool) -> None:
        scenes, left_out = complete_frames(options, split)
        samples = [sample for scene in scenes for sample in _samples_of_agents(scene, options, left_out)]
        super().__init__(options, split, samples, left_out, train)

    def view_limits(self, index: int) -> tuple[int, int]:
        """From `coop_min_num_views` to what there is and `coop_max_num_views` allows, or `num_views` twice."""
        if not self.options.allow_variable_view_count:
            return self.options.num_views, self.options.num_views
        available = len(self._samples[index]) * len(self.options.camera_ids)
        return self.options.coop_min_num_views, min(available, self.options.coop_max_num_views or available)

    def drawn_views(self, index: int) -> tuple[int, int]:
        """In training `view_limits`; in tests twice `num_views`, or what there may be where that is fewer."""
        fewest, most = self.view_limits(index)
        if not self._train:
            fewest = most = min(self.options.num_views, most)
        return fewest, most

    def _order(self, frames: int, rng: np.random.Generator) -> list[Choice]:
        others = list(range(1, frames))
        if self._train:
            others = [int(agent) for agent in rng.permutation(others)]
        agents = [0, *others]
        cameras = {agent: self._cameras(rng, reference_first=agent == 0) for agent in agents}
        return [Choice(agent, cameras[agent][turn]) for turn in range(len(self.options.camera_ids)) for agent in agents]


def _samples_in_time(scene: Scene, options: OPV2VFinetune, left_out: LeftOut) -> list[Frames]:
    """Each frame with those after it, or those before it where the recording ends."""
    samples: list[Frames] = []
    for agent, numbers in scene.frames.items():
        recorded = np.array(sorted(scene.scenario.agents[agent].frames))
        step = options.time_stride * int(np.diff(recorded).min()) if len(recorded) > 1 else 1
        complete = set(numbers)
        for number in numbers:
            steps = range(options.time_steps)
            runs = [[number + sign * step * i for i in steps] for sign in (1, -1)]
            run = next((run for run in runs if complete.issuperset(run)), None)
            if run is None:
                left_out.add(
                    f"frames without {options.time_steps - 1} complete neighbours", scene.scenario.key(agent, number)
                )
            else:
                samples.append(tuple(scene.scenario.key(agent, frame) for frame in run))
    return samples


def _samples_of_agents(scene: Scene, options: OPV2VCoopFinetune, left_out: LeftOut) -> list[Frames]:
    """Each frame of the ego with those of the agents that have it, too."""
    scenario = scene.scenario
    name = f"{scenario.split}/{scenario.name}"
    ego = scenario.ego(options.main_agent)
    if ego is None:
        who = "a vehicle" if options.main_agent is None else f"agent {options.main_agent}"
        left_out.add(f"scenes without {who}", name)
        return []
    recorded_by_others = {number for agent in scenario.agents.values() for number in agent.frames}
    for number in sorted(recorded_by_others - set(scenario.agents[ego].frames)):
        left_out.add("frames that the ego does not have", f"{name}/{ego}, frame {number}")
    samples: list[Frames] = []
    others = [agent for agent in scene.frames if agent != ego]
    complete = {agent: set(numbers) for agent, numbers in scene.frames.items()}
    for number in scene.frames.get(ego, []):
        agents = [ego, *(agent for agent in others if number in complete[agent])]
        if len(agents) < options.coop_min_agents:
            left_out.add(f"frames with fewer than {options.coop_min_agents} agents", scenario.key(ego, number))
        elif len(agents) * len(options.camera_ids) < options.fewest_views:
            left_out.add(f"frames with fewer than {options.fewest_views} views", scenario.key(ego, number))
        else:
            samples.append(tuple(scenario.key(agent, number) for agent in agents))
    return samples
