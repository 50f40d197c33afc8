"""Morrow: where will this instrument close on its next session, and how sure are we?

How a price becomes a forecast, step by step (the process changes between 10 and 11):

 1. ``app.prices.base.PriceSource``                ticker -> ``PriceHistory``: daily bars of finished sessions
 2. ``app.prices.snapshots.SnapshotStore``         ``PriceHistory`` -> immutable snapshot, named by its hash
 3. ``app.prices.audit.audit``                     bars -> bars without faults, and coded findings
 4. ``app.training.train.train_model``             ★ order -> registered, judged version: steps 5 to 10
 5. ``app.dataset.features.build_features``        bars -> ``(bars, columns)``, each row from its past only
 6. ``app.dataset.windows.make_windows``           columns -> ``(samples, window, columns)``
 7. ``app.evaluation.backtest.Backtest``           out-of-sample forecasts of the network and its rivals
 8. ``app.evaluation.verdict.judge``               those -> ``Scorecard``: may the version be champion?
 9. ``app.training.export.export_onnx``            network -> ONNX bytes, checked against the network
10. ``app.artifacts.base.ArtifactStore``           files -> immutable bundle, pinned by the registry
11. ``app.forecasting.loaded_models.LoadedModels`` version -> predictor, golden sample reproduced
12. ``app.forecasting.forecast.forecast_ticker``   ★ bars + version -> ``Forecast`` of the coming sessions
13. ``app.forecasting.answer.answer``              stored ``Forecast`` -> the document that clients read
"""

__version__ = "0.1.0"
