"""``morrow bench panel``: a folder of CSV files in, the network beside GARCH on every session since a date out."""
