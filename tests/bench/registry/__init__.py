"""How a large registry answers, and what a day costs: ``python -m tests.bench.registry --tickers 10000``."""
