"""Every metric by hand-made numbers or an independent implementation, and what a comparison can measure."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from ipl_core import InputError
from ipl_core.metrics.comparison import Comparison
from ipl_core.metrics.density_coverage import density_coverage
from ipl_core.metrics.features import Pictures, features_folder
from ipl_core.metrics.inception_score import inception_score
from ipl_core.metrics.intra_cluster import lpips_matrix, to_medoids, within_clusters
from ipl_core.metrics.kernel_distance import kernel_distance
from ipl_core.metrics.medoids import k_medoids
from ipl_core.metrics.metric import FAMILIES, NEEDS
from ipl_core.metrics.networks import EdgeFilter, Networks
from ipl_core.metrics.registry import METRICS, lacking, measure, metrics_of
from ipl_core.metrics.sifid import place_moments
from ipl_core.metrics.structural_consistency import structural_consistency
from ipl_core.metrics.vendi import vendi_score
from ipl_core.studio.world.subject import PEOPLE


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# ----------------------------------------------------------------------------------------------------------------------
# Formulas


def test_the_inception_score_lies_between_collapse_and_all_classes():
    assert inception_score(torch.eye(4)) == pytest.approx(4)
    assert inception_score(torch.eye(4)[:1].expand(9, 4)) == pytest.approx(1)
    assert inception_score(torch.full((9, 4), 0.25)) == pytest.approx(1)
    half = torch.tensor([[1.0, 0.0], [0.5, 0.5]])  # p(y) = (3/4, 1/4)
    expected = math.exp((math.log(4 / 3) + 0.5 * math.log(2 / 3) + 0.5 * math.log(2)) / 2)
    assert inception_score(half) == pytest.approx(expected)
    assert inception_score(torch.eye(4).repeat(2, 1), splits=2) == pytest.approx(4)
    with pytest.raises(InputError, match="as many pictures"):
        inception_score(torch.eye(4), splits=5)


def test_scores_of_features_agree_with_torch_fidelity():
    kid = pytest.importorskip("torch_fidelity.metric_kid")
    isc = pytest.importorskip("torch_fidelity.metric_isc")
    one, two = noise(40, 12), noise(40, 12, seed=1) + 0.3
    theirs = kid.kid_features_to_metric(
        one, two, kid_subsets=1, kid_subset_size=40, kid_kernel="poly", rng_seed=0, verbose=False
    )
    assert kernel_distance(one, two) == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-5)
    logits = noise(60, 9) * 3
    theirs = isc.isc_features_to_metric(logits, splits=1, shuffle=False)
    assert inception_score(logits.double().softmax(1)) == pytest.approx(theirs["inception_score_mean"], rel=1e-9)


def test_density_and_coverage_agree_with_prdc():
    prdc = pytest.importorskip("prdc")
    for shift in (0.0, 0.7):
        real, fake = noise(50, 6), noise(70, 6, seed=1) + shift
        theirs = prdc.compute_prdc(real.double().numpy(), fake.double().numpy(), nearest_k=5)
        assert density_coverage(real, fake) == pytest.approx((theirs["density"], theirs["coverage"]), abs=1e-12)
    with pytest.raises(InputError, match="more than 5 true pictures"):
        density_coverage(noise(5, 3), noise(9, 3))


def test_kernel_distance_is_unbiased_and_wants_two_of_each():
    means = [kernel_distance(noise(20, 4, seed=k), noise(20, 4, seed=1000 + k)) for k in range(200)]
    assert abs(np.mean(means)) < 3 * np.std(means) / math.sqrt(200)
    with pytest.raises(InputError, match="two samples"):
        kernel_distance(noise(1, 4), noise(5, 4))


def test_the_vendi_score_counts_different_pictures():
    assert vendi_score(torch.eye(5)) == pytest.approx(5)
    assert vendi_score(torch.ones(5, 3)) == pytest.approx(1)
    assert vendi_score(torch.eye(5).repeat_interleave(3, 0)) == pytest.approx(5)
    rows = torch.nn.functional.normalize(noise(9, 20).double(), dim=1)
    values = np.linalg.eigvalsh((rows @ rows.T / 9).numpy())
    assert vendi_score(rows) == pytest.approx(float(np.exp(-(values * np.log(values)).sum())))
    assert vendi_score(rows.T) == pytest.approx(vendi_score(rows.T.repeat(2, 1)))  # by either Gram matrix


def test_structural_consistency_of_equal_disjoint_and_blank_edges():
    edges = torch.rand(2, 8, 8, generator=torch.Generator().manual_seed(0))
    assert structural_consistency(edges, edges).tolist() == pytest.approx([1, 1])
    assert structural_consistency(edges, edges / 2).tolist() == pytest.approx([0.8, 0.8])
    left, right = torch.zeros(1, 4, 4), torch.zeros(1, 4, 4)
    assert structural_consistency(left, right).item() == 1
    left[..., :2], right[..., 2:] = 1, 1
    assert structural_consistency(left, right).item() == 0


def test_the_edge_filter_sees_edges_alone_and_alike_in_every_direction():
    step = torch.full((1, 3, 32, 32), -1.0)
    step[..., 16:] = 1.0
    edges = EdgeFilter()(step)["edges"]
    assert edges.shape == (1, 32, 32)
    assert edges[0, :, 15:17].min() > 0.7
    assert edges[0, :, :10].max() < 0.01
    assert edges[0, 0, 15] == pytest.approx(float(edges[0, 16, 15]), abs=1e-6)  # at the border too
    turned = EdgeFilter()(step.mT)["edges"]
    assert torch.allclose(turned, edges.mT, atol=1e-6)


def test_place_moments_are_those_of_numpy():
    maps = noise(2, 3, 4, 5)
    mean, covariance = place_moments(maps)
    places = maps[1].double().flatten(1).numpy()
    assert mean[1].numpy() == pytest.approx(places.mean(1))
    assert covariance[1].numpy() == pytest.approx(np.cov(places))


def test_medoids_find_the_clusters_that_are_there():
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    points = centres.repeat_interleave(5, 0) + 0.1 * noise(15, 2)
    distances = torch.cdist(points, points)
    medoids, belongs = k_medoids(distances, 3)
    assert sorted(place // 5 for place in medoids) == [0, 1, 2]
    assert all(len(set(belongs[k * 5 : k * 5 + 5].tolist())) == 1 for k in range(3))
    apart = [distances[k * 5 : k * 5 + 5, k * 5 : k * 5 + 5] for k in range(3)]
    assert within_clusters(distances, 3) == pytest.approx(float(sum(d.sum() / 20 for d in apart) / 3))
    nearest = sum(d.mean(0).min() for d in apart) / 3
    assert to_medoids(distances, 3) == pytest.approx(float(nearest))
    assert within_clusters(torch.zeros(12, 12)) == 0  # one picture twelve times
    with pytest.raises(InputError, match="10 clusters need at least as many pictures, not 4"):
        within_clusters(torch.zeros(4, 4))


def test_the_lpips_matrix_is_made_of_pairs():
    class Fake:
        def features(self, pictures: Tensor) -> list[Tensor]:
            return [pictures.mean((2, 3), keepdim=True)]

        def distance(self, one: list[Tensor], other: list[Tensor]) -> Tensor:
            return (one[0] - other[0]).square().sum((1, 2, 3))

    drawn = noise(23, 3, 8, 8).clamp(-1, 1)
    pictures = Pictures("some", 23, lambda places: drawn[list(places)], kept=False)
    rows = torch.cat(list(pictures.batches())).mean((2, 3))
    assert torch.allclose(lpips_matrix(Fake(), pictures), torch.cdist(rows, rows).square(), atol=1e-6)


# ----------------------------------------------------------------------------------------------------------------------
# Pictures


class Brightness:
    """A network that counts what it looks at."""

    def __init__(self, kept: bool) -> None:
        self.key, self.kept, self.looked = f"brightness {kept}", kept, 0

    def __call__(self, pictures: Tensor) -> dict[str, Tensor]:
        self.looked += len(pictures)
        return {"mean": pictures.mean((1, 2, 3))}


@pytest.mark.parametrize("kept", [True, False])
def test_pictures_are_drawn_and_seen_once(studio: Path, kept: bool):
    drawn = noise(20, 3, 8, 8).clamp(-1, 1)
    asked: list[int] = []

    def draw(places: range) -> Tensor:
        asked.extend(places)
        return drawn[list(places)]

    pictures, network = Pictures("noise", 20, draw), Brightness(kept)
    some = pictures.taken([3, 17]).taken([1])
    assert some.seen(network)["mean"][0] == pytest.approx(float(drawn[17].mean()), abs=0.01)
    assert network.looked == (20 if kept else 1)  # small rows are made for all at once
    means = pictures.seen(network)["mean"]
    assert torch.allclose(means, drawn.mean((1, 2, 3)), atol=0.01)
    assert torch.equal(pictures.taken([5, 2]).seen(network)["mean"], means[[5, 2]])
    assert network.looked == 20
    assert asked == list(range(20))
    again = Pictures("noise", 20, draw)
    assert torch.equal(again.seen(network)["mean"], means)
    assert network.looked == (20 if kept else 40)
    assert len(list(features_folder().glob("*"))) == kept if kept else not features_folder().exists()


def test_damaged_features_are_made_anew(studio: Path, caplog: pytest.LogCaptureFixture):
    network = Brightness(kept=True)
    Pictures("grey", 2, lambda places: torch.zeros(len(places), 3, 8, 8)).seen(network)
    (file,) = features_folder().iterdir()
    file.write_bytes(b"nothing")
    Pictures("grey", 2, lambda places: torch.zeros(len(places), 3, 8, 8)).seen(network)
    assert network.looked == 4
    assert "made anew" in caplog.text


def test_features_on_disk_are_bounded_and_those_unused_for_longest_go(studio: Path, monkeypatch: pytest.MonkeyPatch):
    def look(key: str) -> set[str]:
        before = {file.name for file in features_folder().glob("*")}
        Pictures(key, 2, lambda places: torch.zeros(len(places), 3, 8, 8)).seen(network)
        return {file.name for file in features_folder().iterdir()} - before

    network = Brightness(kept=True)
    (first,), (second,) = look("first"), look("second")
    (features_folder() / "note.txt").write_text("of somebody else")
    size = (features_folder() / first).stat().st_size
    for age, name in ((200, first), (100, second)):
        os.utime(features_folder() / name, (time.time() - age,) * 2)
    assert look("first") == set()  # is read, and so used
    monkeypatch.setattr("ipl_core.metrics.features.MOST_BYTES", 2 * size)
    (third,) = look("third")
    assert {file.name for file in features_folder().iterdir()} == {first, third, "note.txt"}
    assert network.looked == 6


def test_distances_of_some_are_taken_from_those_of_all():
    drawn = noise(6, 3, 8, 8).clamp(-1, 1)
    pictures, calls = Pictures("six", 6, lambda places: drawn[list(places)], kept=False), []

    def measured(some: Pictures) -> Tensor:
        calls.append(len(some))
        rows = torch.arange(float(len(some)))
        return (rows[:, None] - rows).abs()

    assert pictures.taken([4, 1, 5]).distances("d", 5, measured).tolist() == [[0, 3], [3, 0]]
    assert pictures.distances("d", 5, measured).shape == (5, 5)
    assert calls == [5]


# ----------------------------------------------------------------------------------------------------------------------
# The registry


def renders(domain: str, seed: int, count: int = 16) -> Pictures:
    random = torch.Generator().manual_seed(seed)
    who = PEOPLE.random(count, random)
    drawn = PEOPLE.render(PEOPLE.domain(domain), who, random, 64)
    return Pictures(f"{domain} {seed} {count}", count, lambda places: drawn[list(places)], kept=False)


@pytest.fixture(scope="module")
def compared(tiny_pretrained: Path) -> Comparison:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPL_PRETRAINED", str(tiny_pretrained))
        networks = Networks("studio")
        assert networks.judge.judge.subject is PEOPLE
        assert networks.clip.critic is not None
    domain = PEOPLE.domain("cartoon")
    return Comparison(
        renders("photo", 1),
        renders("cartoon", 1),
        "cartoon",
        networks,
        domain,
        truth=renders("cartoon", 2, 14),
        references=renders("cartoon", 3, 4),
    )


def test_every_metric_says_what_it_is():
    for name, metric in METRICS.items():
        assert name == metric.name
        assert metric.family in FAMILIES
        assert set(metric.needs) <= set(NEEDS)
        assert metric.title
        assert format(0.5, metric.form)
    names = {metric.name for metric in metrics_of("embedded")}
    assert {"is", "scs", "identity", "sifid", "kid", "frechet", "density", "clip_distance"} <= names
    assert "is_imagenet" not in names
    assert {"is_imagenet", "clip_distance"} <= {metric.name for metric in metrics_of("real")}
    with pytest.raises(InputError, match="no family of metrics"):
        metrics_of("imagined")


@pytest.mark.usefixtures("studio")
def test_all_embedded_metrics_measure_renders(compared: Comparison):
    found = measure(metrics_of("embedded"), compared, groups=3)
    assert set(found.lacking) == {"clip_distance"}
    assert "--judge-clip" in found.lacking["clip_distance"]
    assert all(math.isfinite(value) for value in found.scores.values()), found.scores
    assert {"sifid.R1", "sifid.R3", "sifid.se", "attributes.hair_length"} & set(found.scores) >= {
        "sifid.R1",
        "sifid.R3",
    }
    assert found.settings["sifid"]["references"] == 4
    assert found.settings["intra_cluster"]["variant"].endswith("(NADA)")
    assert 0 < found.scores["scs"] < 1
    assert found.scores["scs.se"] > 0


@pytest.mark.usefixtures("studio")
def test_equal_pictures_reach_the_best_score_of_what_compares(compared: Comparison):
    same = Comparison(
        compared.source, compared.source, "photo", compared.networks, PEOPLE.domain("photo"), compared.source
    )
    found = measure([METRICS[name] for name in ("identity", "attributes", "diversity", "scs", "frechet")], same)
    assert found.scores["identity"] == pytest.approx(1)
    assert found.scores["attributes"] == 1
    assert found.scores["diversity"] == pytest.approx(1)
    assert found.scores["scs"] == pytest.approx(1)
    assert found.scores["frechet"] == pytest.approx(0, abs=1e-6)


@pytest.mark.usefixtures("studio")
def test_what_cannot_be_measured_is_said_and_the_rest_is_measured(compared: Comparison):
    blind = Comparison(compared.source, compared.target, "a cat", Networks("no such model", critic="studio"))
    assert "no judge" in lacking(METRICS["identity"], blind)
    assert "none of the portrait studio" in lacking(
        METRICS["domain_score"], Comparison(compared.source, compared.target, "a cat", compared.networks)
    )
    found = measure(metrics_of("embedded"), blind)
    assert set(found.scores) == {"scs", "direction_spread", "clip_diversity"}
    own = Networks("studio", critic="studio", judge_clip="studio")
    with pytest.raises(InputError, match="follows the CLIP"):
        _ = own.judge_clip
