"""Small pages for citizens, staff and newcomers, rendered on the server. Forms, no scripts.

Pages ask and show; what they do is done by the services of the features. The JSON API is the
features' own business: nothing here answers JSON.
"""
