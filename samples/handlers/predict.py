"""A model of scikit-learn, asked for many rows in one call (--batch) and loaded once for all workers (--preload):

    python3 samples/handlers/predict.py 100000 | forkpool -j 2 --preload --batch 256 --handler samples/handlers/predict.py:predict
"""
import json
import sys

import numpy
from sklearn.linear_model import LogisticRegression

RANDOM = numpy.random.default_rng(1)
SEEN = RANDOM.normal(size=(1000, 10))
MODEL = LogisticRegression().fit(SEEN, SEEN[:, 0] > 0)


def predict(rows):
    """How likely each of these rows is of the kind that the model has learned."""
    return MODEL.predict_proba([row["x"] for row in rows])[:, 1].round(6).tolist()


if __name__ == "__main__":
    for row in RANDOM.normal(size=(int(sys.argv[1]), 10)).round(3).tolist():
        print(json.dumps({"x": row}))
