"""查阅: who has read whose data and for what, recorded before anything is shown."""
