-- Which days of which reports of a site were imported. Parameter: site String.
SELECT report, first, max(last) FROM imported_cells WHERE site = {site:String} GROUP BY report, first
