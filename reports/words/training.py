"""Fitting a model of words to texts. For commands: it needs scikit-learn, imported when called.

1. The pieces of each text, as `grams` takes them apart: what is learnt is what is scored.
2. Two linear models on the same pieces: a linear support vector machine, which finds the words that
   part two labels, and a naive Bayes, which knows best what is usual (Joachims, ECML 1998; Wang and
   Manning, "Baselines and bigrams", ACL 2012).
3. Both score texts that they have not seen (five folds); a share of each and a bias for each label
   are fitted to those scores by the likelihood, which calibrates the confidences as well (vector
   scaling: Guo et al., "On calibration of modern neural networks", ICML 2017, section 4.2).
4. Two linear models joined are one: their weights are added up, and of them the weightiest pieces
   are kept.

The texts of the catalogue are among those learnt from, never among those calibrated with.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports.words.examples import Example
from reports.words.grams import PART, grams_of, sealed
from reports.words.model import WordModel, inverse_frequency, weighed

#: Cost of a text on the wrong side of the border; smoothing of naive Bayes; pull of the biases to
#: none. Tried in docs/accuracy.md; neighbours do as well.
SVM_COST, NB_SMOOTHING, BIAS_PULL = 0.3, 0.05, 0.03

FOLDS = 5

#: The same texts make the same model.
SEED = 0

#: So many pieces are kept: 2 MB for ten labels.
MAX_ROWS = 30_000

#: A word, or pair of words, that stands in fewer texts than this may be somebody's name. It is
#: learnt from and can be met again, but nobody can read it in the model.
FEWEST_TEXTS_OF_A_READABLE_WORD = 3

#: With fewer texts than this there is nothing to calibrate with, and the catalogue does better.
FEWEST_TEXTS = 50


def fit(
    examples: Sequence[Example],
    catalogue: Sequence[Example] = (),
    *,
    placeholders: frozenset[str] = frozenset(),
    record: Mapping[str, Any] | None = None,
    fewest: int = FEWEST_TEXTS,
) -> WordModel:
    """A model of texts that were sifted, and of what the catalogue says of each label.

    Raises:
        ValueError: fewer than `fewest` texts, all of one label, or hardly two of any.
    """
    if len(examples) < fewest:
        raise ValueError(f"{len(examples)} texts are too few to learn from; {fewest} are needed")
    import numpy as np

    everything = [*examples, *catalogue]
    labels = sorted({example.label for example in everything})
    if len(labels) < 2:
        raise ValueError("all texts have one label")
    grams = [grams_of(example.text) for example in everything]
    number_of = {label: index for index, label in enumerate(labels)}
    meant = np.array([number_of[example.label] for example in everything])
    weights = np.array([example.weight for example in everything])

    def both(learnt: Any, judged: Any) -> tuple[_Fitted, Any]:
        """The two models of some texts, and the scores that they give to others."""
        known = [grams[each] for each in learnt]
        holding = Counter(gram for each in known for gram in each)
        idf = {gram: inverse_frequency(len(known), count) for gram, count in holding.items()}
        values = _matrix([weighed(each, idf) for each in known], idf)
        parts = _fit_both(values, meant[learnt], weights[learnt], len(labels))
        new = _matrix([weighed(grams[each], idf) for each in judged], idf)
        return _Fitted(idf, parts), np.array([new @ part[0] + part[1] for part in parts])

    own = np.arange(len(examples))
    rest = np.arange(len(examples), len(everything))
    unseen = np.zeros((2, len(examples), len(labels)))
    fold_of = _folds(meant[own])
    for fold in range(FOLDS):
        kept, left_out = own[fold_of != fold], own[fold_of == fold]
        unseen[:, left_out] = both(np.concatenate([kept, rest]), left_out)[1]
    shares, bias = _joined(unseen, meant[own])

    fitted, _ = both(np.arange(len(everything)), own[:1])
    matrix = sum(share * part[0] for share, part in zip(shares, fitted.parts, strict=True))
    bias = bias + sum(share * part[1] for share, part in zip(shares, fitted.parts, strict=True))
    counts = np.bincount(meant[own], minlength=len(labels)) + 0.5
    return WordModel(
        labels=tuple(labels),
        bias=tuple(float(each) for each in bias),
        prior=tuple(float(each) for each in np.log(counts / counts.sum())),
        rows=_weightiest(matrix, fitted.idf, _readable(grams, len(examples))),
        placeholders=placeholders,
        record=record or {},
    )


@dataclass(frozen=True, slots=True)
class _Fitted:
    """The two models, and the pieces that they know."""

    idf: Mapping[str, float]
    parts: Sequence[tuple[Any, Any]]


def _folds(meant: Any) -> Any:
    """The fold of each text: those of one label are dealt out like cards, however few they are."""
    import numpy as np

    shuffled = np.random.default_rng(SEED).permutation(len(meant))
    dealt = shuffled[np.argsort(meant[shuffled], kind="stable")]
    fold_of = np.empty(len(meant), dtype=int)
    fold_of[dealt] = np.arange(len(meant)) % FOLDS
    return fold_of


def _matrix(rows: Sequence[Mapping[str, float]], idf: Mapping[str, float]) -> Any:
    from scipy.sparse import csr_matrix

    column_of = {gram: index for index, gram in enumerate(idf)}
    starts = [0]
    columns: list[int] = []
    values: list[float] = []
    for row in rows:
        columns.extend(column_of[gram] for gram in row)
        values.extend(row.values())
        starts.append(len(columns))
    return csr_matrix((values, columns, starts), shape=(len(rows), len(idf)))


def _fit_both(values: Any, meant: Any, weights: Any, labels: int) -> list[tuple[Any, Any]]:
    """Weights and bias of the two models; zero, and an unlikely bias, for a label not there."""
    import numpy as np
    from sklearn.naive_bayes import MultinomialNB
    from sklearn.svm import LinearSVC

    svm = LinearSVC(C=SVM_COST, random_state=SEED).fit(values, meant, sample_weight=weights)
    bayes = MultinomialNB(alpha=NB_SMOOTHING).fit(values, meant, sample_weight=weights)
    found = []
    for classes, coefficients, intercepts in (
        (svm.classes_, svm.coef_, svm.intercept_),
        (bayes.classes_, bayes.feature_log_prob_, bayes.class_log_prior_),
    ):
        if len(classes) == 2 and len(coefficients) == 1:
            coefficients = np.vstack([-coefficients, coefficients])
            intercepts = np.concatenate([-intercepts, intercepts])
        matrix = np.zeros((values.shape[1], labels))
        bias = np.full(labels, intercepts.min() - 1.0)
        # Only differences between labels count; taken from their mean, the weights say for what a
        # piece speaks, and one that speaks for nothing can be left out.
        matrix[:, classes] = (coefficients - coefficients.mean(axis=0)).T
        bias[classes] = intercepts
        found.append((matrix, bias))
    return found


def _joined(scores: Any, meant: Any) -> tuple[Any, Any]:
    """A share for each model and a bias for each label, of the greatest likelihood."""
    import numpy as np
    from scipy.optimize import minimize

    models, texts, labels = scores.shape
    rows = np.arange(texts)

    def loss(parameters: Any) -> tuple[float, Any]:
        shares, bias = parameters[:models], parameters[models:]
        joined = np.tensordot(shares, scores, axes=1) + bias
        joined -= joined.max(axis=1, keepdims=True)
        chances = np.exp(joined)
        chances /= chances.sum(axis=1, keepdims=True)
        likelihood = np.log(chances[rows, meant] + 1e-12).mean()
        chances[rows, meant] -= 1.0
        slope = np.concatenate(
            [
                [(chances * scores[each]).sum() / texts for each in range(models)],
                chances.sum(axis=0) / texts + 2 * BIAS_PULL * bias,
            ]
        )
        return float(BIAS_PULL * (bias**2).sum() - likelihood), slope

    start = np.concatenate([np.ones(models), np.zeros(labels)])
    # A share below nothing would turn a model's advice round.
    bounds = [(0.0, None)] * models + [(None, None)] * labels
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return found[:models], found[models:]


def _readable(grams: Sequence[Mapping[str, int]], own: int) -> set[str]:
    """The pieces that may be read in a model. What the catalogue says is nobody's name."""
    holding = Counter(gram for each in grams for gram in each)
    of_catalogue = {gram for each in grams[own:] for gram in each}
    return {
        gram
        for gram, count in holding.items()
        if gram[0] == PART or count >= FEWEST_TEXTS_OF_A_READABLE_WORD or gram in of_catalogue
    }


def _weightiest(
    matrix: Any, idf: Mapping[str, float], readable: set[str]
) -> dict[str, tuple[float, array[float]]]:
    import numpy as np

    grams = list(idf)
    says = np.abs(matrix).max(axis=1)
    kept = np.sort(np.argsort(-says, kind="stable")[:MAX_ROWS])
    rows = {}
    for row in kept:
        gram = grams[row]
        name = gram if gram in readable else sealed(gram)
        rows[name] = (idf[gram], array("f", matrix[row]))
    return rows
