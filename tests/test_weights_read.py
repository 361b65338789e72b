"""Reading weights: every container gives the same tensors, every bad file a reason, and nothing is ever executed."""

from __future__ import annotations

import os
import pickle
import re
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from tiny import picture, save_weights, tiny_rrdbnet, tiny_srvgg
from torch import Tensor, nn

from realesrgan.errors import UsageError, WeightsError
from realesrgan.families import recognise, rename_old_keys
from realesrgan.families.family import NetworkSpec
from realesrgan.families.rrdbnet import RRDBNetSpec
from realesrgan.families.srvgg import SRVGGNetCompactSpec
from realesrgan.model_zoo import MODELS
from realesrgan.weights import store
from realesrgan.weights.load import load_network
from realesrgan.weights.read import blend, read_weights

StateDict = dict[str, Tensor]


def assert_same(state: StateDict, wanted: StateDict) -> None:
    assert list(state) == list(wanted)
    for key, value in wanted.items():
        assert state[key].dtype == torch.float32
        assert torch.equal(state[key], value), key


def small_state(fill: float = 0.0) -> StateDict:
    return {key: value + fill for key, value in tiny_srvgg().state_dict().items()}


def saved(content: object, path: Path) -> Path:
    torch.save(content, path)
    return path


# PyTorch's files and safetensors.


CONTAINERS = ["params_ema", "g_ema", "ema", "params", "net_g", "generator", "model", "state_dict", None]


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_pth_file_gives_its_tensors_whatever_holds_them(container, tmp_path):
    network = tiny_rrdbnet()
    path = save_weights(network, tmp_path / "net.pth", container)
    assert_same(read_weights(path), network.state_dict())


@pytest.mark.parametrize("order", [("params", "params_ema"), ("params_ema", "params")])
def test_averaged_weights_are_preferred_wherever_they_stand(order, tmp_path):
    both = {"params": small_state(fill=1), "params_ema": small_state()}
    path = saved({container: both[container] for container in order}, tmp_path / "net.pth")
    assert_same(read_weights(path), small_state())


def test_what_else_a_checkpoint_holds_is_passed_over(tmp_path):
    path = saved({"epoch": 7, "optimizer": {"lr": 1e-4}, "params": small_state()}, tmp_path / "net.pth")
    assert_same(read_weights(path), small_state())


PREFIXES = ["module.", "_orig_mod.", "net.", "model.", "generator.", "module._orig_mod.", "_orig_mod.module.net."]


@pytest.mark.parametrize("container", ["params", None])
@pytest.mark.parametrize("prefix", PREFIXES)
def test_what_training_puts_before_every_key_is_dropped(container, prefix, tmp_path):
    prefixed = {f"{prefix}{key}": value for key, value in small_state().items()}
    path = saved(prefixed if container is None else {container: prefixed}, tmp_path / "net.pth")
    assert_same(read_weights(path), small_state())


def test_a_container_that_holds_no_tensors_is_passed_over(tmp_path):
    content = {"ema": {"decay": 0.999}, "model": "RRDBNet", "generator": {}, "params": small_state()}
    assert_same(read_weights(saved(content, tmp_path / "net.pth")), small_state())


@pytest.mark.parametrize("suffix", [".pth", ".bin", ".ckpt", ".safetensor", ".SAFETENSORS", ""])
def test_the_format_is_recognised_by_content_whatever_the_name(suffix, tmp_path):
    path = tmp_path / f"net{suffix}"
    save_file(small_state(), tmp_path / "safe")
    (tmp_path / "safe").rename(path)
    if suffix != ".bin":  # which is ncnn's as well
        assert read_weights(path).keys() == small_state().keys()
    if suffix != ".SAFETENSORS":
        assert_same(read_weights(saved(small_state(), path)), small_state())


def test_a_file_from_before_zip_archives_is_read(tmp_path):
    path = tmp_path / "net.pth"
    torch.save({"params": small_state()}, path, _use_new_zipfile_serialization=False)
    assert_same(read_weights(path), small_state())


def test_half_precision_weights_are_widened(tmp_path):
    halves = {key: value.half() for key, value in small_state().items()}
    path = saved({"params": halves}, tmp_path / "net.pth")
    assert_same(read_weights(path), {key: value.float() for key, value in halves.items()})


def test_a_safetensors_file_gives_its_tensors(tmp_path):
    save_file(small_state(), tmp_path / "net.safetensors")
    state = read_weights(tmp_path / "net.safetensors")
    assert_same({key: state[key] for key in small_state()}, small_state())
    assert state.keys() == small_state().keys()


# ncnn's pairs of files.


def write_ncnn(network: nn.Module, folder: Path, *, half: bool = True) -> Path:
    """Write `network` as the weights wheel does: layers in their order, biases and slopes always fp32."""
    lines, numbers = ["Input input.1 0 1 data", "Split splitncnn_0 1 2 data a b"], b""
    for i, layer in enumerate(network.modules()):
        if isinstance(layer, nn.Conv2d):
            flat = layer.weight.flatten().numpy()
            lines.append(
                f"Convolution Conv_{i} 1 1 a b 0={layer.out_channels} 1=3 4=1 5=1 6={flat.size} -23310=1,2.0e-01"
            )
            weights = flat.astype("<f2" if half else "<f4").tobytes()
            tag = struct.pack("<I", 0x01306B47 if half else 0)
            numbers += tag + weights + bytes(-len(weights) % 4) + layer.bias.numpy().astype("<f4").tobytes()
        elif isinstance(layer, nn.PReLU):
            lines.append(f"PReLU PRelu_{i} 1 1 a b 0={layer.num_parameters}")
            numbers += layer.weight.numpy().astype("<f4").tobytes()
        elif isinstance(layer, nn.PixelShuffle) and layer.upscale_factor > 1:
            lines.append(f"PixelShuffle DepthToSpace_{i} 1 1 a b 0={layer.upscale_factor}")
    lines.append("BinaryOp Add_1 2 1 a b output")
    (folder / "net.param").write_text("\n".join(["7767517", f"{len(lines)} 9", *lines, ""]))
    (folder / "net.bin").write_bytes(numbers)
    return folder / "net.param"


# An odd number of features, so that fp16 weights do not fill whole words and the padding matters.
NCNN_SPECS = [
    RRDBNetSpec(num_feat=5, num_block=2, num_grow_ch=3),
    RRDBNetSpec(scale=2, num_feat=5, num_block=1, num_grow_ch=3),
    SRVGGNetCompactSpec(num_feat=5, num_conv=2),
    SRVGGNetCompactSpec(num_feat=5, num_conv=2, upscale=1),
    SRVGGNetCompactSpec(1, 1, num_feat=5, num_conv=3, upscale=2, act_type="relu"),
    *(RRDBNetSpec(3, 3, scale, 5, 2, 3, unshuffle=1) for scale in (1, 2, 8, 16)),
    RRDBNetSpec(4, 4, num_feat=5, num_block=3, num_grow_ch=3),
]


def random_network(spec: NetworkSpec, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    network = spec.build().requires_grad_(False).eval()
    for parameter in network.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
    return network


def rounded_to_half(state: StateDict) -> StateDict:
    """As ncnn's files store it: the convolutions' weights in 16 bits."""
    return {key: value.half().float() if value.dim() == 4 else value for key, value in state.items()}


@pytest.mark.parametrize("spec", NCNN_SPECS, ids=str)
@pytest.mark.parametrize("suffix", [".param", ".bin"])
def test_ncnn_files_give_the_weights_rounded_to_half_precision(spec, suffix, tmp_path):
    network = random_network(spec)
    path = write_ncnn(network, tmp_path).with_suffix(suffix)
    assert_same(read_weights(path), rounded_to_half(network.state_dict()))
    assert recognise(read_weights(path), "net")[0] == spec


@pytest.mark.parametrize("spec", NCNN_SPECS, ids=str)
def test_ncnn_files_in_full_precision_give_the_weights_exactly(spec, tmp_path):
    network = random_network(spec)
    assert_same(read_weights(write_ncnn(network, tmp_path, half=False)), network.state_dict())


BUNDLED = [model for model in MODELS.values() if model.weights.bundled]


@pytest.fixture(scope="module", params=BUNDLED, ids=lambda model: model.name)
def bundled(request):
    """A published model, and the network and spec read from the weights wheel."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "search_folders", list)  # no other place may have a copy
        found = store.find(request.param.weights)
    assert found.origin == "weights wheel"
    return request.param, *load_network([found.path])


def test_the_weights_wheel_holds_the_published_network(bundled):
    model, network, spec = bundled
    assert spec == model.network
    assert not network.training
    assert all(value.dtype == torch.float32 and not value.requires_grad for value in network.parameters())


def test_the_weights_of_the_wheel_enlarge_a_picture_rather_than_change_it(bundled):
    _, network, spec = bundled
    corners = torch.from_numpy(picture(3, 3)).permute(2, 0, 1)[None] / 255
    shown = F.interpolate(corners, size=(16, 16), mode="bilinear", align_corners=True)
    with torch.no_grad():
        enlarged = network(shown)
    difference = F.avg_pool2d(enlarged, spec.scale) - shown
    assert difference.abs().mean() < 0.01  # with any two layers exchanged it is several times that


# Which network it is.

RECOGNISABLE: list[NetworkSpec] = [
    RRDBNetSpec(scale=scale, num_feat=feat, num_block=block, num_grow_ch=grow)
    for scale in (1, 2, 4)
    for feat, block, grow in ((8, 1, 4), (6, 3, 2))
]
RECOGNISABLE += [
    SRVGGNetCompactSpec(num_feat=feat, num_conv=conv, upscale=upscale, act_type=act)
    for act in ("prelu", "relu")
    for upscale in (1, 2, 3, 4)
    for feat, conv in ((8, 1), (5, 3))
]
# Scale and pixels folded, the number of channels, and the blocks of nESRGAN+.
ESRGANS = [
    RRDBNetSpec(channels, channels, scale, 4, 2, 2, unshuffle, plus)
    for scale, unshuffle in ((1, 1), (2, 1), (4, 1), (8, 1), (16, 1), (1, 2), (2, 2), (4, 2), (1, 4), (4, 4))
    for channels in (1, 3, 4)
    for plus in (False, True)
]
RECOGNISABLE += ESRGANS
RECOGNISABLE += [SRVGGNetCompactSpec(n, n, 5, 2, upscale) for n in (1, 4) for upscale in (1, 2, 3, 4)]
RECOGNISABLE += list(dict.fromkeys(model.network for model in MODELS.values()))


def test_every_network_is_recognised_by_its_tensors_alone():
    for spec in RECOGNISABLE:
        with torch.device("meta"):
            state = spec.build().state_dict()
        assert recognise(state, "net.pth")[0] == spec


def test_the_order_of_the_tensors_does_not_matter():
    state = tiny_rrdbnet().state_dict()
    assert recognise(dict(reversed(state.items())), "net.pth")[0] == recognise(state, "net.pth")[0]


def as_today(key: str, spec: RRDBNetSpec) -> str:
    return key


def as_first_release(key: str, spec: RRDBNetSpec) -> str:
    names = {"conv_body": "trunk_conv", "conv_hr": "HRconv"}
    key = re.sub(r"^body\.(\d+)\.rdb(\d)", r"RRDB_trunk.\1.RDB\2", key)
    key = re.sub(r"^conv_up(\d)", r"upconv\1", key)
    layer, _, kind = key.rpartition(".")
    return f"{names.get(layer, layer)}.{kind}"


def as_sequential(key: str, spec: RRDBNetSpec) -> str:
    """The names of a single nn.Sequential, where each upsampling takes three places."""
    ups = {1: 0, 2: 1, 4: 2, 8: 3, 16: 4}[spec.scale * spec.size_multiple]
    places = {"conv_first": "0", "conv_body": f"1.sub.{spec.num_block}", "conv_hr": f"{3 * ups + 2}"}
    places |= {f"conv_up{i}": f"{3 * i}" for i in range(1, ups + 1)} | {"conv_last": f"{3 * ups + 4}"}
    layer, _, kind = key.rpartition(".")
    if layer in places:
        return f"model.{places[layer]}.{kind}"
    key = re.sub(r"^body\.(\d+)\.rdb(\d)\.conv(\d)\.", r"model.1.sub.\1.RDB\2.conv\3.0.", key)
    return re.sub(r"^body\.(\d+)\.rdb(\d)\.", r"model.1.sub.\1.RDB\2.", key)


NAMES: dict[str, Callable[[str, RRDBNetSpec], str]] = {
    "today": as_today,
    "first release": as_first_release,
    "sequential": as_sequential,
}


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("spec", [*ESRGANS, RRDBNetSpec(num_feat=4, num_block=11, num_grow_ch=2)], ids=str)
def test_every_esrgan_file_gives_its_network_whatever_its_keys(names, spec, tmp_path):
    network = random_network(spec)
    state = {names(key, spec): value for key, value in network.state_dict().items()}
    assert len(state) == len(network.state_dict())
    if names is not as_today:
        assert not state.keys() & {"conv_body.weight", "body.1.rdb3.conv5.weight", "conv_hr.bias", "conv_up1.weight"}
    loaded, found = load_network([saved(state, tmp_path / "net.pth")])
    x = torch.rand(1, spec.num_in_ch, 4, 4)
    assert found == spec
    assert torch.equal(loaded(x), network(x))


def test_old_and_new_names_of_one_network_can_be_blended(tmp_path):
    network = tiny_rrdbnet()
    old = {as_first_release(key, RRDBNetSpec()): value for key, value in network.state_dict().items()}
    paths = [saved(old, tmp_path / "old.pth"), save_weights(network, tmp_path / "new.pth")]
    assert_same(load_network(paths, [0.5, 0.5])[0].state_dict(), network.state_dict())


def test_names_that_only_resemble_old_ones_are_left_alone():
    state = {"model.0.weight": torch.zeros(1), "upconv1.bias": torch.zeros(1), "gamma": torch.zeros(1)}
    assert rename_old_keys(state) == state


# Into which network they go.


class OwnNetwork(nn.Module):
    """An unknown network whose layers have the names of an old ESRGAN's."""

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.rand(1))
        self.model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.Conv2d(3, 3, 1))


class OwnWrapper(nn.Module):
    """All of its keys begin with "model."."""

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.ModuleDict({"first": nn.Conv2d(3, 3, 1)})


class OwnOldESRGAN(nn.Module):
    """The names of the network that the original ESRGAN code builds."""

    def __init__(self) -> None:
        super().__init__()
        block = nn.ModuleDict({f"RDB{i}": nn.ModuleDict({"conv1": nn.Conv2d(4, 2, 3)}) for i in (1, 2, 3)})
        self.RRDB_trunk = nn.Sequential(block)
        self.HRconv = nn.Conv2d(4, 4, 3)


@pytest.mark.parametrize("kind", [OwnNetwork, OwnWrapper, OwnOldESRGAN])
def test_a_network_of_the_users_own_gets_its_weights_under_its_own_names(kind, tmp_path):
    trained, fresh = kind(), kind()
    path = save_weights(trained, tmp_path / "own.pth", "params")
    loaded, spec = load_network([path], model=fresh)
    assert loaded is fresh
    assert spec is None
    assert_same(fresh.state_dict(), trained.state_dict())
    assert not fresh.training


def test_a_known_network_brought_along_is_filled_and_recognised(tmp_path):
    trained, fresh = tiny_rrdbnet(seed=1), tiny_rrdbnet(seed=2)
    old = {as_first_release(key, RRDBNetSpec()): value for key, value in trained.state_dict().items()}
    loaded, spec = load_network([saved(old, tmp_path / "old.pth")], model=fresh)
    assert loaded is fresh
    assert spec == RRDBNetSpec(num_feat=8, num_block=1, num_grow_ch=4)
    assert_same(fresh.state_dict(), trained.state_dict())


def test_weights_of_another_network_do_not_fit_the_one_brought_along(srvgg_file):
    wanted = (
        r"tiny_srvgg\.pth does not fit the given RRDBNet: the file lacks conv_first\.weight \(8, 3, 3, 3\), .* more"
    )
    with pytest.raises(WeightsError, match=wanted):
        load_network([srvgg_file], model=tiny_rrdbnet())


def test_loading_draws_no_random_numbers(srvgg_file):
    before = torch.get_rng_state()
    load_network([srvgg_file])
    assert torch.equal(torch.get_rng_state(), before)


# Refusals.


def refusal(path: Path) -> str:
    """The error of reading `path` and recognising its network, after checking that it names the file."""
    with pytest.raises(WeightsError) as caught:
        recognise(read_weights(path), path.name)
    assert path.name in str(caught.value)
    return str(caught.value)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    assert "there is no such weights file" in refusal(tmp_path / "none.pth")
    assert "there is no such weights file" in refusal(tmp_path)


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "net.pth").touch()
    assert "an empty file; delete it and fetch it again" in refusal(tmp_path / "net.pth")


def test_half_a_download_is_refused_as_one(rrdbnet_file, tmp_path):
    whole = rrdbnet_file.read_bytes()
    (tmp_path / "net.pth").write_bytes(whole[: len(whole) // 2])
    assert f"cut short at {len(whole) // 2} bytes" in refusal(tmp_path / "net.pth")


@pytest.mark.parametrize("suffix", [".pth", ".old.pth", ".safetensors", ".bin"])
def test_no_weights_file_can_be_read_without_its_end(suffix, tmp_path):
    path = tmp_path / f"net{suffix}"
    if suffix == ".bin":
        write_ncnn(tiny_srvgg(), tmp_path)
    elif suffix == ".safetensors":
        save_file(small_state(), path)
    else:
        torch.save({"params": small_state()}, path, _use_new_zipfile_serialization=suffix == ".pth")
    whole = path.read_bytes()
    for kept in (1, 4, 100, len(whole) // 4, len(whole) * 3 // 4, len(whole) - 1):
        path.write_bytes(whole[:kept])
        assert refusal(path)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (b"\n<!DOCTYPE html>\n<html>Not Found</html>", "a web page, saved in place of the weights"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a git-lfs pointer"),
        (b'{"error": 404}', "a text file"),
        (b"7767517\n999 999\n", "the .param file of ncnn weights under another name"),
    ],
)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ""])
def test_text_is_refused_as_what_it_is(text, what, suffix, tmp_path):
    path = tmp_path / f"net{suffix}"
    path.write_bytes(text)
    assert f": {what}" in refusal(path)


def test_an_archive_of_something_else_is_refused_as_one(tmp_path):
    with zipfile.ZipFile(tmp_path / "net.pth", "w") as archive:
        archive.writestr("RealESRGAN_x4plus.pth", b"weights")
    assert "a zip archive, but not one of PyTorch's; if weights are in it, unpack it" in refusal(tmp_path / "net.pth")
    with zipfile.ZipFile(tmp_path / "net.pth", "w") as archive:
        archive.writestr("net/constants.pkl", b"")
        archive.writestr("net/data.pkl", b"")
    assert "a TorchScript program; wanted is the state_dict" in refusal(tmp_path / "net.pth")


class RunsACommand:
    """Unpickling it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("container", ["params", "unused"])
def test_code_in_a_file_is_refused_and_not_executed(zipped, container, tmp_path):
    path = tmp_path / "net.pth"
    content = {"params_ema": small_state(), container: RunsACommand(tmp_path / "proof")}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    message = refusal(path)
    assert "refused, because reading this file would execute code stored in it" in message
    assert "mkdir" in message
    assert not (tmp_path / "proof").exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_plain_pickle_is_refused_and_not_executed(protocol, tmp_path):
    path = tmp_path / "net.pth"
    path.write_bytes(pickle.dumps(RunsACommand(tmp_path / "proof"), protocol))
    message = refusal(path)
    assert "would execute code stored in it (" in message or protocol < 2  # before that, pickles were text
    assert "mkdir" in message or protocol < 2
    assert not (tmp_path / "proof").exists()
    pickle.loads(path.read_bytes())
    assert (tmp_path / "proof").exists(), "the file would have proved nothing"


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ({"epoch": 3, "loss": 0.1}, "found: epoch, loss"),
        ({}, "found: nothing"),
        ({"params": {}}, "found: params"),
        ({0: torch.zeros(1)}, "found: 0"),
        ([torch.zeros(1)], "found: list"),
        (torch.zeros(1), "found: Tensor"),
        ({"x" * 100_000: 1}, f"found: {'x' * 60}…)"),
    ],
)
def test_a_file_without_weights_is_refused_with_what_it_holds(content, found, tmp_path):
    message = refusal(saved(content, tmp_path / "net.pth"))
    assert "holds no network weights" in message
    assert found in message


def test_a_file_one_may_not_read_is_not_called_damaged(tmp_path, monkeypatch):
    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = save_weights(tiny_srvgg(), tmp_path / "net.pth")
    monkeypatch.setattr(torch, "load", forbidden)
    assert "cannot be read (Permission denied)" in refusal(path)


def test_ncnn_files_in_capitals_are_read(tmp_path):
    network = random_network(NCNN_SPECS[2])
    path = write_ncnn(network, tmp_path, half=False)
    for suffix in (".param", ".bin"):
        path.with_suffix(suffix).rename(path.with_suffix(suffix.upper()))
    for suffix in (".PARAM", ".BIN"):
        assert_same(read_weights(path.with_suffix(suffix)), network.state_dict())


@pytest.mark.parametrize("missing", [".param", ".bin"])
def test_half_an_ncnn_pair_is_refused_by_naming_the_other(missing, tmp_path):
    path = write_ncnn(tiny_srvgg(), tmp_path)
    path.with_suffix(missing).unlink()
    other = path.with_suffix({".param": ".bin", ".bin": ".param"}[missing])
    assert f"ncnn weights are a pair of files, and net{missing} is not beside it" in refusal(other)


def test_ncnn_numbers_cut_short_or_too_many_are_refused(tmp_path):
    binary = write_ncnn(tiny_srvgg(), tmp_path).with_suffix(".bin")
    whole = binary.read_bytes()
    binary.write_bytes(whole[: len(whole) // 2])
    assert "damaged, or not the ncnn form" in refusal(binary)
    binary.write_bytes(whole + bytes(4))
    assert f"the .bin file has {len(whole) + 4} bytes, its .param describes {len(whole)}" in refusal(binary)


@pytest.mark.parametrize(
    "text", ["", "7767518\n1 1\n", "hello\n", "7767517\n", "7767517\n1 1\nConvolution c 1 1 a b 0=8\n"]
)
def test_an_ncnn_description_that_is_none_is_refused(text, tmp_path):
    path = write_ncnn(tiny_srvgg(), tmp_path)
    path.write_text(text)
    assert "damaged, or not the ncnn form" in refusal(path)


def test_ncnn_numbers_in_a_form_unknown_here_are_refused(tmp_path):
    binary = write_ncnn(tiny_srvgg(), tmp_path).with_suffix(".bin")
    binary.write_bytes(struct.pack("<I", 0x000D4B38) + binary.read_bytes()[4:])
    assert "stored in an unknown way, tag 0x000d4b38" in refusal(binary)


OTHER_NCNN_NETWORKS = {
    "three convolutions": nn.Sequential(*(nn.Conv2d(3, 3, 3) for _ in range(3))),
    "kernels of one pixel": nn.Sequential(nn.Conv2d(3, 4, 1), nn.PReLU(4), nn.Conv2d(4, 3, 1), nn.PixelShuffle(1)),
    "slopes in other places": nn.Sequential(
        *(nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 3), nn.PReLU(3), nn.PixelShuffle(1))
    ),
    "slopes outside SRVGGNetCompact": nn.Sequential(*(nn.Conv2d(3, 3, 3) for _ in range(5)), nn.PReLU(3)),
}


@pytest.mark.parametrize("network", OTHER_NCNN_NETWORKS.values(), ids=OTHER_NCNN_NETWORKS)
def test_ncnn_files_of_other_networks_are_refused(network, tmp_path):
    assert re.search(
        "fit neither RRDBNet|not the ncnn form|neither RRDBNet nor SRVGGNetCompact",
        refusal(write_ncnn(network.requires_grad_(False), tmp_path)),
    )


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        (("conv0.weight", "conv0.bias", "conv1.weight_orig", "conv1.weight_u"), "this is a discriminator"),
        (("conv_body_first.weight", "stylegan_decoder.style_mlp.1.weight"), "this is the GFPGAN face restorer"),
        (
            ("body.conv1.weight", "body.bn1.weight", "ClassHead.0.conv1x1.weight"),
            "this is the RetinaFace face detector",
        ),
        (("encoder.0.conv2d.weight", "encoder.0.conv2d.bias"), "this is the ParseNet face parser"),
    ],
)
def test_a_network_of_another_kind_is_refused_by_its_name(keys, named, tmp_path):
    message = refusal(saved({"params": {key: torch.zeros(2, 2) for key in keys}}, tmp_path / "net.pth"))
    assert named in message
    assert "wanted is RRDBNet or SRVGGNetCompact" in message


@pytest.mark.parametrize(("taken", "given"), [(2, 2), (6, 6), (4, 3), (6, 3), (2, 3), (1, 3), (3, 1)])
@pytest.mark.parametrize("scale", [1, 2, 4])
def test_a_generator_of_other_channels_is_refused_with_their_number(taken, given, scale, tmp_path):
    specs: list[NetworkSpec] = [RRDBNetSpec(taken, given, scale, num_feat=4, num_block=1)]
    if taken == given:
        specs.append(SRVGGNetCompactSpec(taken, given, num_feat=4, num_conv=2, upscale=scale))
    for spec in specs:
        message = refusal(saved(spec.build().state_dict(), tmp_path / "net.pth"))
        assert "only networks for gray, RGB or RGBA pictures, with 1, 3 or 4 channels in and as many out" in message
        if taken == given:
            assert f"pictures of {given} channels in and {given} out" in message


UNKNOWN_NETWORKS = {
    "linear": {"layers.0.weight": torch.zeros(4, 4), "layers.0.bias": torch.zeros(4)},
    "no dots": {"weight": torch.zeros(4, 4)},
    "SwinIR": {"conv_first.weight": torch.zeros(8, 3, 3, 3), "layers.0.norm.weight": torch.zeros(8)},
    "flat first": {"conv_first.weight": torch.zeros(8), "conv_last.weight": torch.zeros(3, 8, 3, 3)},
    "scale 3": {"conv_first.weight": torch.zeros(8, 27, 3, 3), "conv_last.weight": torch.zeros(3, 8, 3, 3)},
    "body of words": {"body.first.weight": torch.zeros(8, 3, 3, 3), "body.0.weight": torch.zeros(8, 3, 3, 3)},
}


@pytest.mark.parametrize("state", UNKNOWN_NETWORKS.values(), ids=UNKNOWN_NETWORKS)
def test_an_unknown_network_is_refused_with_how_its_tensors_begin(state, tmp_path):
    message = refusal(saved(state, tmp_path / "net.pth"))
    assert f"neither RRDBNet nor SRVGGNetCompact (its {len(state)} tensors begin with {next(iter(state))} " in message


@pytest.mark.parametrize("network", [tiny_rrdbnet(), tiny_srvgg()], ids=["RRDBNet", "SRVGGNetCompact"])
def test_a_generator_with_other_tensors_is_refused_with_the_nearest_and_where_it_differs(network, tmp_path):
    state = network.state_dict()
    nearest = str(recognise(state, "net.pth")[0])
    last, wider = list(state)[-1], list(state)[4]
    for almost, difference in (
        ({**state, "extra.weight": torch.zeros(7)}, "the file has in addition extra.weight (7,)"),
        ({**state, "x" * 100_000: torch.zeros(7)}, f"the file has in addition {'x' * 60}… (7,)"),
        ({key: state[key] for key in state if key != last}, f"the file lacks {last} {tuple(state[last].shape)}"),
        ({**state, wider: torch.zeros(5)}, f"the file has in another shape {wider} (5,)"),
        ({**state, **{f"extra.{i}": torch.zeros(1) for i in range(9)}}, "extra.2 (1,) and 6 more"),
    ):
        message = refusal(saved({"params": almost}, tmp_path / "net.pth"))
        assert f"nearest is {nearest}, but " in message
        assert message.endswith(difference)
        assert len(message) < 500


@pytest.mark.parametrize(("fold", "upsamplings"), [(2, 0), (4, 0), (4, 1)])
def test_a_network_whose_result_is_smaller_than_its_picture_is_refused(fold, upsamplings, tmp_path):
    larger = RRDBNetSpec(scale=4, num_feat=4, num_block=1, num_grow_ch=2, unshuffle=fold).build().state_dict()
    ups = [f"conv_up{i}." for i in range(upsamplings + 1, 5)]
    state = {key: value for key, value in larger.items() if not key.startswith(tuple(ups))}
    message = refusal(saved(state, tmp_path / "net.pth"))
    assert f"this is RRDBNet that folds {fold}×{fold} pixels and enlarges ×{2**upsamplings} after that" in message


def test_more_upsamplings_than_any_network_has_are_refused(tmp_path):
    state = RRDBNetSpec(scale=16, num_feat=4, num_block=1, num_grow_ch=2).build().state_dict()
    more = {f"conv_up{i}.weight": state["conv_up1.weight"] for i in (5, 6, 10**9)}
    assert "the file has in addition conv_up5.weight (4, 4, 3, 3)" in refusal(saved(state | more, tmp_path / "net.pth"))


def test_a_gap_in_the_numbers_of_upsamplings_is_refused(tmp_path):
    state = RRDBNetSpec(scale=8, num_feat=4, num_block=1, num_grow_ch=2).build().state_dict()
    state["conv_up7.weight"] = state.pop("conv_up2.weight")
    message = refusal(saved(state, tmp_path / "net.pth"))
    assert "lacks conv_up2.weight (4, 4, 3, 3), the file has in addition conv_up7.weight" in message


# Files made to do harm.


@pytest.mark.parametrize("key", ["body.3000000.rdb1.conv1.weight", "body.99999999.weight", "body.99999999.bias"])
@pytest.mark.parametrize("network", [tiny_rrdbnet(), tiny_srvgg()], ids=["RRDBNet", "SRVGGNetCompact"])
def test_a_huge_number_in_a_key_costs_nothing(network, key, tmp_path, monkeypatch):
    built: list[int] = []
    init = nn.Conv2d.__init__
    monkeypatch.setattr(nn.Conv2d, "__init__", lambda *args, **kwargs: [init(*args, **kwargs), built.append(1)][0])
    for value in (torch.zeros(8, 8, 3, 3), torch.zeros(8)):
        assert key in refusal(saved({**network.state_dict(), key: value}, tmp_path / "net.pth"))
    assert len(built) < 200


def test_an_archive_that_unpacks_to_more_than_itself_is_refused_before_it_is(tmp_path):
    path = saved({"params": {"conv_first.weight": torch.zeros(1_000_000)}}, tmp_path / "large.pth")
    with zipfile.ZipFile(path) as stored, zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as bomb:
        for name in stored.namelist():
            bomb.writestr(name, stored.read(name))
    assert re.search(r"refused, because its \d+ bytes would unpack to 40\d{5}", refusal(tmp_path / "bomb.pth"))


@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_that_repeat_what_the_file_has_once_are_refused(zipped, tmp_path):
    large = torch.zeros(1).expand(20_000, 20_000, 3, 3)
    path = tmp_path / "net.pth"
    torch.save({"body.0.weight": large}, path, _use_new_zipfile_serialization=zipped)
    assert path.stat().st_size < 5000
    assert "refused, because its tensors hold more numbers than the file has bytes" in refusal(path)


@pytest.mark.parametrize("key", ["conv_last.weight", "conv_first.weight", "body.0.rdb1.conv1.weight"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_tensor_without_values_is_refused_by_name(key, suffix, tmp_path):
    state = tiny_rrdbnet().state_dict() | {key: torch.zeros(0, 3, 3, 3)}
    path = tmp_path / f"net{suffix}"
    save_file(state, path) if suffix == ".safetensors" else saved(state, path)
    assert f"damaged, {key} (0, 3, 3, 3) has no values" in refusal(path)


@pytest.mark.parametrize("shape", [(0, 3, 3, 3), (3, 0, 3, 3), (8,), ()])
def test_a_first_or_last_layer_of_an_odd_shape_is_refused(shape, tmp_path):
    for network, keys in ((tiny_srvgg(), ("body.0.weight", "body.6.weight")), (tiny_rrdbnet(), ("conv_last.weight",))):
        for key in keys:
            assert refusal(saved(network.state_dict() | {key: torch.zeros(shape)}, tmp_path / "net.pth"))


@pytest.mark.filterwarnings("ignore")  # torch's, about what is being made here
@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda x: torch.quantize_per_tensor(x, 0.1, 0, torch.qint8), "quantised"),
        (lambda x: x.to_sparse(), "sparse"),
        (lambda x: x.to("meta"), "meta"),
        (lambda x: x.to(torch.complex64), "complex"),
    ],
)
def test_tensors_of_a_special_kind_are_refused_as_such(make, kind, tmp_path):
    state = tiny_srvgg().state_dict()
    message = refusal(saved(state | {"body.2.weight": make(state["body.2.weight"])}, tmp_path / "net.pth"))
    assert f"body.2.weight is a {kind} tensor" in message


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_values_that_are_not_finite_are_found_before_anything_is_computed(value, dtype, tmp_path):
    state = {key: tensor.to(dtype) for key, tensor in tiny_srvgg().state_dict().items()}
    state["body.4.weight"][1, 2, 0, 1] = value
    message = refusal(saved(state, tmp_path / "net.pth"))
    assert "body.4.weight holds values that are not finite numbers" in message


def test_large_values_are_numbers(tmp_path):
    state = small_state() | {"body.4.weight": torch.full((8, 8, 3, 3), 3e38)}
    assert_same(read_weights(saved(state, tmp_path / "net.pth")), state)


@pytest.mark.parametrize("count", ["9" * 20, "-1", "-99", str(2**31), "1e3"])
@pytest.mark.parametrize("option", ["0", "6"])
def test_an_ncnn_layer_of_an_odd_size_is_refused(count, option, tmp_path):
    path = write_ncnn(tiny_srvgg(), tmp_path)
    text = path.read_text()
    path.write_text(re.sub(rf" {option}=\d+", f" {option}={count}", text, count=1))
    assert path.read_text() != text
    assert "damaged, or not the ncnn form" in refusal(path)


def test_a_name_too_long_for_any_file_is_a_file_that_is_not_there(tmp_path):
    assert "there is no such weights file" in refusal(tmp_path / f"{'x' * 300}.pth")


# Blending.


@pytest.fixture
def pair() -> tuple[StateDict, StateDict]:
    return tiny_srvgg(seed=1).state_dict(), tiny_srvgg(seed=2).state_dict()


def test_strength_one_is_the_strong_checkpoint_and_zero_the_weak(pair):
    strong, weak = pair
    assert_same(blend(strong, weak, 1.0), strong)
    assert_same(blend(strong, weak, 0.0), weak)


@pytest.mark.parametrize("strength", [0.25, 0.5, 0.9])
def test_a_blend_lies_on_the_line_between_its_ends(pair, strength):
    strong, weak = pair
    for key, value in blend(strong, weak, strength).items():
        torch.testing.assert_close(value, weak[key] + strength * (strong[key] - weak[key]))


def test_blending_changes_neither_checkpoint(pair):
    copies = [{key: value.clone() for key, value in state.items()} for state in pair]
    blend(*pair, 0.5)
    for state, copy in zip(pair, copies, strict=True):
        assert_same(state, copy)


@pytest.mark.parametrize("other", [tiny_srvgg("relu"), tiny_rrdbnet()], ids=["other keys", "other network"])
def test_checkpoints_of_different_networks_are_not_blended(pair, other):
    with pytest.raises(WeightsError, match="cannot be blended: they are of different networks"):
        blend(pair[0], other.state_dict(), 0.5)


def test_checkpoints_of_different_shapes_are_not_blended(pair):
    wider = SRVGGNetCompactSpec(num_feat=9, num_conv=2).build().state_dict()
    assert wider.keys() == pair[0].keys()
    with pytest.raises(WeightsError, match="cannot be blended: they are of different networks"):
        blend(pair[0], wider, 0.5)


def test_two_files_load_as_their_blend(pair, tmp_path):
    paths = [saved({"params": state}, tmp_path / f"{i}.pth") for i, state in enumerate(pair)]
    network, spec = load_network(paths, [0.3, 0.7])
    assert spec == SRVGGNetCompactSpec(num_feat=8, num_conv=2)
    assert_same(network.state_dict(), blend(*pair, 0.3))


@pytest.mark.parametrize(
    ("count", "shares"), [(2, None), (2, [0.5]), (2, [0.5, 0.6]), (1, [0.5, 0.5]), (3, [0.5, 0.5])]
)
def test_files_and_shares_that_do_not_match_are_refused(count, shares, srvgg_file):
    with pytest.raises(UsageError, match="two weights files as model_path and, as dni_weight, two shares that add"):
        load_network([srvgg_file] * count, shares)


def test_loading_imports_none_of_the_machinery_behind_compiling(rrdbnet_file: Path) -> None:
    """It would take longer than everything else together."""
    script = (
        "import sys, torch; from pathlib import Path; from realesrgan.weights.load import load_network;"
        "before = set(sys.modules); load_network([Path(sys.argv[1])]);"
        "print(*(name for name in set(sys.modules) - before if name.startswith(('sympy', 'torch._dynamo'))))"
    )
    done = subprocess.run([sys.executable, "-c", script, rrdbnet_file], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
