"""`python -m benchmarks.gpu`, once what it needs is known to be there."""

from benchmarks.gpu import needs

if __name__ == "__main__":
    if complaint := needs.wanting():
        raise SystemExit(f"benchmarks.gpu: {complaint}")
    from benchmarks.gpu.command import main

    main()
