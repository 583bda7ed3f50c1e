"""Jobs that serve a page: JupyterLab, TensorBoard, MLflow's UI."""
