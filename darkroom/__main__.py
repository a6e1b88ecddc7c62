"""`python -m darkroom`"""

from darkroom.cli import main

if __name__ == "__main__":  # not in the processes that draw examples
    main()
