"""Programs that are measured in processes of their own, and what starts and calls them.

``line_server`` and ``paddlex_pipeline`` run in PaddleX's environment: they import nothing of this
package.
"""
