-- Run once, when the database's volume is empty: Dagster's and MLflow's records live apart.
CREATE DATABASE dagster;
CREATE DATABASE mlflow;
