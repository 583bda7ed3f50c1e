"""save_mlflow: models of the libraries that it knows, read again by those libraries."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

SAVE = """
import json, sys
from pathlib import Path
import numpy, torch, transformers
from lightgbm import Booster, Dataset, LGBMClassifier, train
from lib.tracking.models import writer

folder = Path(sys.argv[1])
class Net(torch.nn.Module):
    "A class of the notebook's own."
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

sizes = dict(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
config = transformers.BertConfig(vocab_size=6, **sizes)
(folder / "vocab.txt").write_text("[PAD]\\n[UNK]\\n[CLS]\\n[SEP]\\n[MASK]\\nhello\\n")
words = transformers.BertTokenizer(str(folder / "vocab.txt"))
bert = transformers.BertForSequenceClassification(config)
pipe = transformers.pipeline("text-classification", model=bert, tokenizer=words)
x = numpy.arange(80.0).reshape(40, 2)
y = numpy.repeat(["no", "yes"], 20)
few = dict(min_child_samples=1, verbose=-1)
booster = train({"objective": "regression", **few}, Dataset(x, x[:, 0]), 3)
classifier = LGBMClassifier(n_estimators=3, **few).fit(x, y)
net = Net()
for name, thing in {
    "bert": bert, "both": (bert, words), "pipe": pipe, "net.pt": net,
    "booster.txt": booster, "classifier.mdl": classifier,
}.items():
    writer(thing)(folder / name)

import joblib
again = Net()
again.load_state_dict(torch.load(folder / "net.pt", weights_only=True))
assert torch.equal(again.layer.weight, net.layer.weight)
assert numpy.allclose(Booster(model_file=folder / "booster.txt").predict(x), booster.predict(x))
assert list(joblib.load(folder / "classifier.mdl").predict(x)) == list(classifier.predict(x))
for name in ("bert", "both", "pipe"):
    same = transformers.AutoModelForSequenceClassification.from_pretrained(folder / name)
    assert torch.equal(same.classifier.weight, bert.classifier.weight), name
for name in ("both", "pipe"):
    found = transformers.AutoTokenizer.from_pretrained(folder / name)
    assert found("hello")["input_ids"] == [2, 5, 3], name
assert writer((bert, net)) is None and writer(Net) is None and writer(torch.ones(2)) is None
print(json.dumps(sorted(path.name for path in (folder / "both").iterdir())))
"""


@pytest.mark.timeout(600)
def test_models_are_read_again_by_their_own_libraries(
    research_python: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "it's 日本"
    folder.mkdir()
    done = subprocess.run(
        [str(research_python), "-c", SAVE, str(folder)],
        env={"PYTHONPATH": str(ROOT / "src"), "HF_HUB_OFFLINE": "1", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    names = json.loads(done.stdout.splitlines()[-1])
    assert {"config.json", "model.safetensors", "tokenizer_config.json"} <= set(names)
