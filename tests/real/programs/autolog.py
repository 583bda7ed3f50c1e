"""scikit-learn's autolog: a grid search with its child runs, and a model with its inputs."""

import json
import warnings

import mlflow
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

warnings.filterwarnings("ignore")
mlflow.set_experiment("flowers")
mlflow.sklearn.autolog(max_tuning_runs=3)

X, y = load_iris(return_X_y=True, as_frame=True)
search = GridSearchCV(LogisticRegression(max_iter=50), {"C": [0.1, 1.0, 10.0]}, cv=2)
with mlflow.start_run(run_name="grid") as run:
    search.fit(X, y)
    score = search.score(X, y)

mlflow.sklearn.autolog(disable=True)
with mlflow.start_run(run_name="by hand") as second:
    logged = mlflow.sklearn.log_model(
        search.best_estimator_,
        name="flowers",
        signature=mlflow.models.infer_signature(X, y),
        pip_requirements=["scikit-learn"],
        registered_model_name="flowers",
        params={"C": search.best_params_["C"]},
        tags={"stage": "candidate"},
    )
    data = mlflow.data.from_pandas(X, name="iris")
    mlflow.log_metric("accuracy", score, step=1, model_id=logged.model_id, dataset=data)

client = mlflow.MlflowClient()
client.set_registered_model_alias("flowers", "champion", 1)
client.set_registered_model_tag("flowers", "owner", "garden")

print(
    json.dumps(
        {
            "run": run.info.run_id,
            "model": logged.model_id,
            "model_run": second.info.run_id,
            "best": search.best_params_["C"],
            "rows": X.iloc[::10].to_numpy().tolist(),
            "columns": list(X.columns),
            "predictions": search.predict(X.iloc[::10]).tolist(),
        }
    )
)
