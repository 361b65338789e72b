"""A training recipe: the keys of the published YAML files, nested as there. Knows nothing of files or of the loop."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr

from ..degradation.recipe import PUBLISHED, Recipe
from .recipe_parts import Count, CountOrNone, DiscriminatorOptions, Generator, Section, TrainOptions

PUBLISHED_GT_SIZE = 256
PUBLISHED_CROP_PAD_SIZE = 400  # pixels; so named and fixed in the published data set
Share: TypeAlias = Annotated[float, Field(ge=0)]


def _names_a_folder(name: str) -> str:
    if not name or name in (".", "..") or any(mark in name for mark in "/\\\0"):
        raise ValueError(f"must be the name of a folder below experiments/, not {name or 'empty'!r}")
    return name


def _number_of_gpus(value: Any) -> Any:
    # As one validator, because of a union pydantic reports what each choice says.
    if value != "auto" and not (isinstance(value, int | float) and value >= 0 and value % 1 == 0):
        raise ValueError("should be auto or a number of GPUs; 0 is the CPU")
    return value if value == "auto" else int(value)


class Storage(Section):
    """How pictures are kept."""

    type: Literal["disk", "lmdb"] = "disk"


class TrainSet(Section):
    """The section `datasets.train`: the pictures to learn from.

    Attributes:
        type: on the fly, pictures are degraded as they are needed; paired, `dataroot_lq` has them degraded.
        dataroot_gt: the folder of the sharp pictures.
        meta_info: a list of files, relative to the folders; None takes all there are.
        filename_tmpl: a degraded picture's name, {} being its original's; where no list pairs them.
        crop_pad_size: on the fly, side of the crop that is degraded, in pixels of the sharp pictures. Pictures that are
            smaller are mirrored to that size. What is learned from is cut out of the result.
        gt_size: side of the crop, in pixels of the sharp pictures; read where the set is paired.
        use_rot: turn by 90° as well.
    """

    name: str = "train"
    type: Literal["RealESRGANDataset", "RealESRGANPairedDataset"]
    dataroot_gt: Path
    dataroot_lq: Path | None = None
    meta_info: Path | None = None
    filename_tmpl: str = "{}"
    io_backend: Storage = Storage()
    crop_pad_size: Count = PUBLISHED_CROP_PAD_SIZE
    gt_size: Count | None = None
    use_hflip: bool = True
    use_rot: bool = False
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    use_shuffle: bool = True
    num_worker_per_gpu: CountOrNone = 5
    batch_size_per_gpu: Count = 12
    dataset_enlarge_ratio: Count = 1
    prefetch_mode: Literal["cpu", "cuda"] | None = None
    num_prefetch_queue: Count = 1
    pin_memory: bool = True
    persistent_workers: bool = False


class ValidationSet(Section):
    """The section `datasets.val`: pictures held out, to measure on.

    Without `dataroot_lq` they are degraded as the training pictures are, with seeds that stay the same.
    """

    name: str = "validation"
    type: Literal["PairedImageDataset", "RealESRGANPairedDataset", "RealESRGANDataset"] = "PairedImageDataset"
    dataroot_gt: Path
    dataroot_lq: Path | None = None
    meta_info: Path | None = None
    filename_tmpl: str = "{}"
    io_backend: Storage = Storage()


class Datasets(Section):
    """The section `datasets`."""

    train: TrainSet
    val: ValidationSet | None = None


class Paths(Section):
    """The section `path`: weights to start from, and a state to go on from.

    Attributes:
        pretrain_network_g, pretrain_network_d: weights files; None starts from nothing.
        param_key_g, param_key_d: which weights, of a file that has several.
        strict_load_g, strict_load_d: false leaves tensors that are missing or of another shape fresh.
        resume_state: FOLDER/training_states/N.state to go on from, with the weights beside it.
        ignore_resume_networks: networks that are not taken from it, but from their start files, to learn afresh.
        experiments_root: the folder of results; None is experiments/NAME.
    """

    pretrain_network_g: str | None = None
    param_key_g: str = "params_ema"
    strict_load_g: bool = True
    pretrain_network_d: str | None = None
    param_key_d: str = "params"
    strict_load_d: bool = True
    resume_state: Path | None = None
    ignore_resume_networks: tuple[Literal["network_g", "network_d"], ...] = ()
    experiments_root: Path | None = None


class Metric(Section):
    """How PSNR or SSIM is measured: without `crop_border` pixels on each side, of RGB or of luma (`test_y_channel`)."""

    type: Literal["calculate_psnr", "calculate_ssim"]
    crop_border: CountOrNone = 0
    test_y_channel: bool = False
    better: Literal["higher", "lower"] = "higher"


class Validation(Section):
    """The section `val`: when and how to measure.

    PSNR and SSIM are always measured; `metrics` can say in which way.
    """

    val_freq: Count = 5000
    save_img: bool = False
    suffix: str | None = None
    pbar: bool = True
    metrics: dict[str, Metric] = {}

    def metric(self, kind: Literal["calculate_psnr", "calculate_ssim"]) -> Metric | None:
        """The first of a kind, which is the one that counts."""
        return next((metric for metric in self.metrics.values() if metric.type == kind), None)


class Wandb(Section):
    """Of the published trainer's log at Weights & Biases."""

    project: str | None = None
    resume_id: str | None = None


class Logger(Section):
    """The section `logger`. Frequencies are in iterations."""

    print_freq: Count = 100
    save_checkpoint_freq: Count = 5000
    use_tb_logger: bool = True
    wandb: Wandb = Wandb()


class Distribution(Section):
    """The section `dist_params`."""

    backend: Literal["nccl", "gloo"] = "nccl"
    port: Annotated[int, Field(ge=1, le=65535)] = 29500


class TrainingRecipe(Section):
    """All that a training is made from; `recipe_file.read` reads one and checks what goes together.

    Attributes:
        model_type: stage 1, RealESRNet, or stage 2, RealESRGAN.
        scale: how many times the network enlarges.
        num_gpu: processes, each with a device of its own; "auto" takes all GPUs.
        manual_seed: of all that is drawn.
        gt_usm: sharpen originals: they are degraded, and learned from, sharpened.
        l1_gt_usm, percep_gt_usm, gan_gt_usm: stage 2: which losses see the sharpened original.
        network_d: the discriminator, of stage 2.
    """

    name: Annotated[str, AfterValidator(_names_a_folder)]
    model_type: Literal["RealESRNetModel", "RealESRGANModel"]
    scale: Annotated[int, Field(ge=1, le=16)]
    num_gpu: Annotated[int | Literal["auto"], BeforeValidator(_number_of_gpus)] = "auto"
    manual_seed: CountOrNone = 0
    root_gt_size: Count | None = Field(default=None, alias="gt_size")
    gt_usm: bool = True
    l1_gt_usm: bool = True
    percep_gt_usm: bool = True
    gan_gt_usm: bool = False
    order_is_high: bool | None = Field(default=None, alias="high_order_degradation")
    find_unused_parameters: bool = False
    datasets: Datasets
    network_g: Generator
    network_d: DiscriminatorOptions | None = None
    path: Paths = Paths()
    train: TrainOptions
    val: Validation = Validation()
    logger: Logger = Logger()
    dist_params: Distribution = Distribution()

    _degradation: Recipe = PrivateAttr(default=PUBLISHED)

    @property
    def stage(self) -> Literal[1, 2]:
        """1 is Real-ESRNet, learning by L1; 2 is Real-ESRGAN, with a discriminator."""
        return 1 if self.model_type == "RealESRNetModel" else 2

    @property
    def paired(self) -> bool:
        """Whether the degraded pictures are given, too."""
        return self.datasets.train.type == "RealESRGANPairedDataset"

    @property
    def high_order_degradation(self) -> bool:
        """Whether pictures are degraded on the fly."""
        return not self.paired

    @property
    def gt_size(self) -> int:
        """Side of what is learned from, in pixels of the sharp pictures."""
        given = self.datasets.train.gt_size if self.paired else None
        return given or self.root_gt_size or PUBLISHED_GT_SIZE

    @property
    def degradation(self) -> Recipe:
        """What may happen to a picture, with what chance: the degradation keys, wherever the file has them."""
        return self._degradation

    @property
    def queue_size(self) -> int:
        """Pairs in the pool that mixes the degradations of batches; 0 is none."""
        return self.degradation.queue_size

    def paired_crops_of(self, size: int) -> TrainingRecipe:
        """The same with pairs cut to `size` pixels of the originals."""
        train = self.datasets.train.model_copy(update={"gt_size": size})
        return self.model_copy(update={"datasets": self.datasets.model_copy(update={"train": train})})

    def degraded_by(self, degradation: Recipe) -> TrainingRecipe:
        """The same with another degradation."""
        changed = self.model_copy()
        changed._degradation = degradation
        return changed
