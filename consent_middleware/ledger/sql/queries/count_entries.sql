SELECT count(*) FROM entries WHERE position >= :first AND position < :beyond
