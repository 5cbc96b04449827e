"""The host side: device driver, hot/cold embedding store, DLRM, training pipeline, data, reports, commands."""
