"""The fault suite, ``make chaos``: what the service promises while processes die, disks fill and clocks jump."""
