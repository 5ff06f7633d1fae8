"""The parts of the test; each takes a bench and a plan and gives a report."""
