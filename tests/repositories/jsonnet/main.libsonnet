{ deployment: { kind: 'Deployment' } }
