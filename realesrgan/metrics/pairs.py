"""Which result belongs to which original, by name; one that might belong to two is named and never guessed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import ImageFileError, UsageError, VideoFileError
from ..image import files, formats, jobs
from ..outputs import place_of
from ..video import inputs
from ..video.probe import probe
from ..video.sources.source import VideoSource


@dataclass(frozen=True)
class Pair:
    """A result and its original, of one size: two pictures, or two `videos`."""

    result: Path
    original: Path
    headers: tuple[files.Header | VideoSource, files.Header | VideoSource]
    videos: tuple[VideoSource, VideoSource] | None = None

    @property
    def width(self) -> int:
        return self.headers[0].width

    @property
    def height(self) -> int:
        return self.headers[0].height

    @property
    def pixels(self) -> int:
        """How much there is to measure, judging by the headers; a video of unknown length counts as a frame."""
        frames = 1 if self.videos is None else self.videos[0].frame_count or 1
        return self.width * self.height * frames

    @property
    def held_bytes(self) -> int:
        """About what measuring it takes: both pictures as they are read; of videos two frames each, as numbers."""
        return self.width * self.height * (2 * 8 if self.videos is None else 2 * 2 * 12 + 6 * 8)


@dataclass
class Pairs(jobs.Notes):
    """What was found: pairs, a line for each file without a partner or with too many, and for those passed over.

    `places` (see `outputs.place_of`) are those of all pictures and videos, damaged ones included.
    """

    pairs: list[Pair] = field(default_factory=list)
    places: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class _File:
    """A picture with its header, a video, or a damaged file of either name, and the name to match it by.

    `needed` says that it is worth a note if it has no partner.
    """

    path: Path
    relative: Path
    header: files.Header | None
    is_video: bool
    needed: bool = True

    @property
    def place(self) -> str:
        return place_of(self.path)

    def key(self, suffix: str = "") -> tuple[bool, Path, str] | None:
        """Kind, folder and name without extension, and without `suffix`; None if it does not have that."""
        stem, ending = self.relative.stem, f"_{suffix}" if suffix else ""
        if not stem.endswith(ending):
            return None
        return self.is_video, self.relative.parent, stem[: len(stem) - len(ending)]


def match(results: Sequence[str], originals: Sequence[str], *, suffix: str = "out", recursive: bool = False) -> Pairs:
    """Find each result's original: the file of the same name, or of its name without _`suffix`, of any extension.

    Both are files, folders or patterns; in folders (with `recursive`, below them) the path counts as part of the name.
    One file on each side is a pair whatever the names; so is a video and a folder of frames. What is left over of a
    folder is noted if the other side is folders, too.

    Raises:
        UsageError: something named does not exist, or one side holds no pictures and no videos.
    """
    found = Pairs()
    if (pair := _named_pair(results, originals)) is not None:
        found.places |= {file.place for file in pair}
        found.pairs += _checked(*pair, found)
        return found
    ours = list(_found(results, originals, "results", recursive, found))
    theirs = list(_found(originals, results, "originals", recursive, found))
    for option, words, side in (("results", results, ours), ("originals", originals, theirs)):
        if not side:
            raise UsageError(f"`{option}` {' '.join(words)}: no pictures or videos in it")
    for result, original in _matched(ours, theirs, suffix, found):
        found.pairs += _checked(result, original, found)
    if not found.pairs and not found.failures:
        raise UsageError(f"`results` {' '.join(results)}: none belongs to an original; {_by_name(suffix)}")
    found.passed_over = list(dict.fromkeys(found.passed_over))  # both sides may be one folder
    return found


def _by_name(suffix: str) -> str:
    return f"they belong together by name, with or without _{suffix} (`suffix`)" if suffix else "names must be the same"


def _named_pair(results: Sequence[str], originals: Sequence[str]) -> tuple[_File, _File] | None:
    """The only file of each side; or a video and a folder of frames, which is a video, too."""
    if len(results) != 1 or len(originals) != 1:
        return None
    sides = [Path(results[0]), Path(originals[0])]
    folders = [side.is_dir() for side in sides]
    if all(folders) or not all(side.is_file() or folder for side, folder in zip(sides, folders, strict=True)):
        return None
    if not any(folders):
        headers = [None if inputs.is_video(side) else files.read_header(side) for side in sides]
        are_videos = None in headers  # the other one, if a picture, is a video of one frame
        ours, theirs = (
            _File(side, Path(side.name), header, are_videos) for side, header in zip(sides, headers, strict=True)
        )
        return ours, theirs
    video, folder = sorted(sides, key=Path.is_dir)
    if not (inputs.is_video(video) or _is_no_picture(video)) or inputs.expand(folder).videos != (folder,):
        return None
    ours, theirs = (_File(side, Path(side.name), None, is_video=True) for side in sides)
    return ours, theirs


def _found(words: Sequence[str], others: Sequence[str], option: str, recursive: bool, found: Pairs) -> Iterator[_File]:
    """The pictures and videos that `words` name; a folder of the `others` that lies in one of them is left out."""
    inner = Path(others[0]) if len(others) == 1 else None
    all_needed = all(Path(word).is_dir() for word in others)
    for path, relative in jobs.find_files(words, found, option=option, closed=inner, recursive=recursive):
        named_itself = path in map(Path, words)
        is_video = inputs.is_video(path) or (named_itself and _is_no_picture(path))
        header = None if is_video else jobs.header_of(path, found, named_itself=named_itself)
        # A damaged picture takes part in the matching, so that its partner is not said to have none.
        if is_video or header is not None or path.suffix.lower()[1:] in formats.PICTURE_EXTENSIONS:
            found.places.add(place_of(path))
            yield _File(path, relative, header, is_video, all_needed or named_itself)


def _is_no_picture(path: Path) -> bool:
    try:
        return path.suffix.lower()[1:] not in formats.PICTURE_EXTENSIONS and files.read_header(path) is None
    except ImageFileError:  # will be noted where its header is wanted
        return False


def _matched(
    results: Sequence[_File], originals: Sequence[_File], suffix: str, found: Pairs
) -> Iterator[tuple[_File, _File]]:
    """Yield those that belong to each other and to nothing else, in the order of the results; note the others."""
    named: dict[object, list[_File]] = defaultdict(list)
    for original in originals:
        named[original.key()].append(original)
    wanted: list[tuple[_File, list[_File]]] = []
    claims: dict[str, list[_File]] = defaultdict(list)
    for result in results:
        keys = dict.fromkeys(key for key in (result.key(), result.key(suffix)) if key is not None)
        # Where both sides are one folder, a file is not its own original.
        mine = [original for key in keys for original in named[key] if original.place != result.place]
        wanted.append((result, mine))
        for original in mine:
            claims[original.place].append(result)
    used = {result.place for result, mine in wanted if mine} | set(claims)
    for result, mine in wanted:
        if len(mine) > 1:
            found.failures.append(
                f"{result.path}: could belong to {_either(mine)}; measure the right two by themselves"
            )
        elif mine and len(claims[mine[0].place]) == 1:
            yield result, mine[0]
        elif not mine and result.place not in used and result.needed:
            found.failures.append(f"{result.path}: has no original; {_by_name(suffix)}")
    for original in originals:
        if len(claimants := claims.get(original.place, [])) > 1:
            found.failures.append(f"{original.path}: its result could be {_either(claimants)}; move one elsewhere")
        elif original.place not in used and original.needed:
            found.failures.append(f"{original.path}: has no result; {_by_name(suffix)}")


def _either(candidates: Sequence[_File]) -> str:
    return " or ".join(str(candidate.path) for candidate in candidates)


def _checked(result: _File, original: _File, found: Pairs) -> Iterator[Pair]:
    """Yield the pair if both can be opened and are of one size; note why not otherwise."""
    headers: tuple[files.Header | VideoSource, files.Header | VideoSource]
    videos = None
    if not result.is_video:
        if result.header is None or original.header is None:
            return  # damaged, and noted where it was found
        headers = result.header, original.header
    else:
        try:
            videos = probe(result.path), probe(original.path)
        except VideoFileError as error:
            found.failures.append(error.message)
            return
        found.places |= {place_of(file) for video in videos for file in video.files()}
        headers = videos
    header, other = headers
    if (header.width, header.height) == (other.width, other.height):
        yield Pair(result.path, original.path, headers, videos)
    else:
        found.failures.append(
            f"{result.path}: is {header.width}×{header.height}, and its original {original.path} "
            f"{other.width}×{other.height}; the two must be of one size"
        )
