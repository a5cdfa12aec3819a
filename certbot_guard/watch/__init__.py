"""One look from outside at what no run of certbot sees: certificates, renewal configurations, services, the timer."""
