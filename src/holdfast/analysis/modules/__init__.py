"""How robust each module's part of safety is, and which modules are the robust ones."""
