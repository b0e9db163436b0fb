"""Named recipients receive sealed releases and nothing else; every disclosure is logged."""
