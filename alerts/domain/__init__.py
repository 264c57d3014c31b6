"""Pure decisions: states, forecasts, rules, incidents and dispatch. No I/O, the time is an argument."""
