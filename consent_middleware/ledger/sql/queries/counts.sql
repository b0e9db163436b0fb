SELECT day, what, language, n FROM counts
WHERE day >= :first AND day <= :last
ORDER BY day, what, language
