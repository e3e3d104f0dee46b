"""How a trace is judged: MLflow scorers from configuration, scored exactly as ``mlflow.genai.evaluate`` scores them."""
