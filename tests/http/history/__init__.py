"""Time travel over HTTP: reads of the past, histories, differences, rollbacks, retention."""
