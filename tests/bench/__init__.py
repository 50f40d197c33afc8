"""The numbers behind the service's promises: ``make bench``."""
