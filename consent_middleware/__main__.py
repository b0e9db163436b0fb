from consent_middleware.cli import main

main()
