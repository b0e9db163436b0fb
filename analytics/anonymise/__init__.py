"""RawPeriod -> SealedRelease: contribution bounds in SQL, noise by OpenDP, a budget that can't be overspent."""
