"""What is known of every version: functions over one open transaction."""
